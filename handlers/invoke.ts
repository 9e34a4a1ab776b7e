import { buildInvoke } from '../src/container.ts';
import { directDoor } from '../src/doors/direct.ts';

/** Direct invocation: by other functions, Step Functions, the AWS SDK and CLI. */
export const handler = directDoor(await buildInvoke());
