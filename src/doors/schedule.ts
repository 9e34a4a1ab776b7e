import type { ScheduledEvent } from 'aws-lambda';
import type { MaintenanceReport, SystemKeyMaintenance } from '../maintenance/system-key-maintenance.ts';
import { isFromSchedule, unexpectedEvent } from './event-source.ts';
import { doorHandler, type Handler, type InvocationLog } from './handler.ts';
import type { MaintenanceLog } from './maintenance-log.ts';

/** Dependencies of the schedule door. */
export interface ScheduleDoorOptions {
  readonly maintenance: SystemKeyMaintenance;
  readonly telemetry: InvocationLog & MaintenanceLog;
  /** Maintenance must be done this many milliseconds before the end of the invocation. */
  readonly deadlineMarginMs: number;
}

/** Creates the door for EventBridge schedules. It runs System Key maintenance and returns its report. */
export function scheduleDoor(options: ScheduleDoorOptions): Handler<ScheduledEvent, MaintenanceReport> {
  const { maintenance, telemetry, deadlineMarginMs } = options;
  return doorHandler(telemetry, async (event, context) => {
    if (!isFromSchedule(event)) throw unexpectedEvent("a schedule's event of EventBridge, or {} by hand");
    const deadlineAtMs = Date.now() + context.getRemainingTimeInMillis() - deadlineMarginMs;
    const report = await maintenance.run({ deadlineAtMs });
    telemetry.maintained(report);
    return report;
  });
}
