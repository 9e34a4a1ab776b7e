import { buildInvoke } from '../src/container.ts';
import { directDoor } from '../src/doors/direct.ts';

/** Handles direct invocations by other functions, Step Functions, the AWS SDK and the AWS CLI. */
export const handler = directDoor(await buildInvoke());
