import { buildReencrypt } from '../src/container.ts';
import { reencryptDoor } from '../src/doors/reencrypt.ts';

/** Runs the workers of the state machine in infra/reencrypt.yml. Each worker re-encrypts a part of a table. */
export const handler = reencryptDoor(await buildReencrypt());
