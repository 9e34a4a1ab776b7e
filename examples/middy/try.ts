/** `npm start` seals an order's card, invokes the function, and opens the token in its result. */
import type { Context } from 'aws-lambda';
import { decryptFields, encryptFields } from 'keyfold';
import { keyfold } from '../keyfold.ts';
import { handler, type Order } from './handler.ts';

const session = keyfold.session('tenant-1');
const context = { order: '7' };
const order = { tenant: 'tenant-1', orderId: '7', card: '4111 1111 1111 1111' };

const event = await encryptFields(session, { document: order, fields: ['$.card'], context });
console.log('event:', event);
const result = await handler(event as Order, {} as Context);
console.log('result:', result);
console.log('opened:', await decryptFields(session, { document: result, fields: ['$.token'], context }));
