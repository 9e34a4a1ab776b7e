import { buildApi } from '../src/container.ts';
import { httpDoor } from '../src/doors/http.ts';

/** Handles HTTP requests from API Gateway and from a function URL. */
export const handler = httpDoor(await buildApi());
