/**
 * A Lambda function that receives a sealed card and returns a sealed token for it. The handler sees only plain values.
 */
import { randomUUID } from 'node:crypto';
import middy from '@middy/core';
import { keyfold } from '../keyfold.ts';
import { sealedFields } from './sealed-fields.ts';

export interface Order {
  readonly tenant: string;
  readonly orderId: string;
  readonly card: string;
}

export interface Payment {
  readonly orderId: string;
  readonly lastFour: string;
  readonly token: string;
}

export const handler = middy<Order, Payment>()
  .use(
    sealedFields<Order, Payment>({
      session: ({ tenant }) => keyfold.session(tenant),
      context: ({ orderId }) => ({ order: orderId }),
      open: ['$.card'],
      seal: ['$.token'],
    }),
  )
  .handler(async ({ orderId, card }) => ({ orderId, lastFour: card.slice(-4), token: `token-${randomUUID()}` }));
