import middy from '@middy/core';
import type { Context, ScheduledEvent } from 'aws-lambda';
import { KeyfoldError } from '../errors.ts';
import type { MaintenanceReport, SystemKeyMaintenance } from '../maintenance/system-key-maintenance.ts';
import { isFromSchedule, unexpectedEvent } from './event-source.ts';
import { statusOf } from './problem.ts';
import type { Telemetry } from './telemetry.ts';

/** Dependencies of the schedule door. */
export interface ScheduleDoorOptions {
  readonly maintenance: SystemKeyMaintenance;
  readonly telemetry: Telemetry;
  /** Milliseconds before the end of the invocation at which the maintenance must be done. */
  readonly deadlineMarginMs: number;
}

/** Creates the door for EventBridge schedules. It runs the maintenance of System Keys and returns its report. */
export function scheduleDoor({
  maintenance,
  telemetry,
  deadlineMarginMs,
}: ScheduleDoorOptions): (event: ScheduledEvent, context: Context) => Promise<MaintenanceReport> {
  return middy<ScheduledEvent, MaintenanceReport>({ timeoutEarlyInMillis: 0 })
    .before(({ context }) => telemetry.begin(context))
    .handler(async (event, context) => {
      try {
        if (!isFromSchedule(event)) throw unexpectedEvent("a schedule's event of EventBridge, or {} by hand");
        const deadlineAtMs = Date.now() + context.getRemainingTimeInMillis() - deadlineMarginMs;
        const report = await maintenance.run({ deadlineAtMs });
        telemetry.maintained(report);
        return report;
      } catch (error) {
        if (error instanceof KeyfoldError) telemetry.requestFailed(error, statusOf(error.code));
        throw error;
      } finally {
        telemetry.flush();
      }
    });
}
