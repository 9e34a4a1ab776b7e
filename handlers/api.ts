import { buildApi } from '../src/container.ts';
import { httpDoor } from '../src/doors/http.ts';

/** API Gateway's HTTP API. */
export const handler = httpDoor(await buildApi());
