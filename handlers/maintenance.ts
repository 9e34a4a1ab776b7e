import { buildMaintenance } from '../src/container.ts';
import { scheduleDoor } from '../src/doors/schedule.ts';

/** Handles the EventBridge schedule, which runs once a day. */
export const handler = scheduleDoor(await buildMaintenance());
