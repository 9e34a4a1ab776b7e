import { buildApi } from '../src/container.ts';
import { httpDoor } from '../src/doors/http.ts';

/** Handles requests of the API Gateway HTTP API. */
export const handler = httpDoor(await buildApi());
