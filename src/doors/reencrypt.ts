import type { Clock } from '../async/clock.ts';
import { readReencryptEvent, type ReencryptEvent } from '../config/reencrypt-event.ts';
import type { SessionFactory } from '../envelope/session-factory.ts';
import { Reencryption, type QuarantinedRow } from '../maintenance/reencryption/reencryption.ts';
import type { RowSource } from '../maintenance/reencryption/rows.ts';
import { Verbs } from '../maintenance/reencryption/verbs.ts';
import { checkRun } from '../maintenance/reencryption/check-run.ts';
import type { KeyNaming } from '../records/ids.ts';
import { refuseInexactNames } from './exact-json.ts';
import { doorHandler, type Handler, type InvocationLog } from './handler.ts';

export interface ReencryptDoorOptions {
  readonly keyfold: SessionFactory;
  readonly naming: KeyNaming;
  readonly telemetry: InvocationLog;
  openRows(event: ReencryptEvent): RowSource;
  openQuarantine(event: ReencryptEvent): (row: QuarantinedRow) => Promise<void>;
  readonly now: Clock;
}

/**
 * A worker's response: the worker's event, with the counts so far. The segment's next worker gets this response as its
 * event.
 */
export type ReencryptAnswer = Omit<ReencryptEvent, 'done'> & { readonly done: boolean };

/**
 * In this time, a worker can read and finish a page, even if reading the page and writing one of its rows need every
 * attempt that the SDK makes.
 */
const STOP_BEFORE_END_MS = 120_000;

/**
 * Creates the door for the workers of a state machine. A worker re-encrypts a segment of a table, stops before its
 * time limit, and returns the event of the next worker.
 */
export function reencryptDoor(options: ReencryptDoorOptions): Handler<unknown, ReencryptAnswer> {
  const { keyfold, naming, telemetry, now } = options;
  return doorHandler(telemetry, async (given, context) => {
    const event = readReencryptEvent(given);
    refuseInexactNames(event);
    const { form, plaintext, paths, verb, rate, startedAt } = event;
    checkRun(event, paths, naming);
    const remainingMs = context.getRemainingTimeInMillis();
    const runMs = remainingMs - Math.min(STOP_BEFORE_END_MS, remainingMs / 2);
    const verbs = new Verbs({ verb, form, plaintext, paths }, { keyfold, naming, now }, Date.parse(startedAt));
    const reencryption = new Reencryption({
      source: options.openRows(event),
      verbs,
      quarantine: options.openQuarantine(event),
      // The response is the checkpoint. If a worker is killed, the state machine invokes another worker with the last
      // response.
      save: async () => {},
      rate,
      now,
    });
    const { counts: earlier, position: from } = event;
    const checkpoint = earlier && from && { position: from, counts: { ...earlier, rows: 0, records: 0, keys: [] } };
    const { counts, position } = await reencryption.run(checkpoint, runMs);
    const { written, unchanged, quarantined, skipped, malformed } = counts;
    const { position: _, done: __, ...passedOn } = event;
    return {
      ...passedOn,
      ...(position && { position }),
      counts: { written, unchanged, quarantined, skipped, malformed },
      done: position === undefined,
    };
  });
}
