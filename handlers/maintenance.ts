import { buildMaintenance } from '../src/container.ts';
import { scheduleDoor } from '../src/doors/schedule.ts';

/** EventBridge, once a day. */
export const handler = scheduleDoor(buildMaintenance());
