import * as v from 'valibot';
import { KeyfoldError } from '../errors.ts';
import { RECORD_FORMS } from '../maintenance/reencryption/content.ts';
import { PLAINTEXT_FORMS, VERBS } from '../maintenance/reencryption/verbs.ts';
import { isJsonObject } from '../input/json-object.ts';
import { isTableName } from '../metastore/table-name.ts';

const name = v.pipe(v.string(), v.nonEmpty());
const names = v.pipe(v.array(name), v.minLength(1));
const whole = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const table = v.pipe(v.string(), v.check(isTableName));

/** An object of strings. It is no `v.record`, because that drops members with names such as `constructor`. */
function strings(minLength: number): v.GenericSchema<Readonly<Record<string, string>>> {
  return v.custom((value) => {
    return (
      isJsonObject(value) && Object.values(value).every((one) => typeof one === 'string' && one.length >= minLength)
    );
  });
}

/** The counts so far. A worker returns them, and the state machine passes them on to the next worker. */
const counts = v.strictObject({
  written: whole,
  unchanged: whole,
  quarantined: whole,
  skipped: whole,
  malformed: whole,
});

const eventSchema = v.strictObject({
  table,
  fields: names,
  verb: v.picklist(VERBS),
  /** The name of the run. Rows that fail are quarantined under this name. */
  run: name,
  /** When the run began, as ISO 8601. */
  startedAt: v.pipe(
    v.string(),
    v.isoTimestamp(),
    v.check((text) => !Number.isNaN(Date.parse(text))),
  ),
  segment: whole,
  segments: v.pipe(whole, v.minValue(1), v.maxValue(1_000_000)),
  quarantineTable: table,
  partition: v.optional(name),
  partitionField: v.optional(name),
  context: v.optional(strings(0)),
  contextFrom: v.optional(strings(1)),
  paths: v.optional(names),
  form: v.optional(v.picklist(RECORD_FORMS), 'compact'),
  plaintext: v.optional(v.picklist(PLAINTEXT_FORMS), 'text'),
  // The minimum ensures that the worker finishes a page of a thousand rows well before the function's time limit.
  rate: v.optional(v.pipe(v.number(), v.minValue(50))),
  /** The position at which to resume, from an earlier response. */
  position: v.optional(v.record(v.string(), v.unknown())),
  counts: v.optional(counts),
  /**
   * This member is allowed, because every response has it, and the state machine passes a whole response on as the next
   * event.
   */
  done: v.optional(v.literal(false)),
});

/** A worker's event. It describes the run, the worker's segment, and the position at which the worker resumes. */
export type ReencryptEvent = v.InferOutput<typeof eventSchema>;

/**
 * Checks a worker's event.
 * @throws KeyfoldError `InvalidRequest`, which names the invalid member
 */
export function readReencryptEvent(event: unknown): ReencryptEvent {
  const parsed = v.safeParse(eventSchema, event, { abortEarly: true });
  if (!parsed.success) {
    const member = v.getDotPath(parsed.issues[0]) ?? 'the event';
    throw new KeyfoldError('InvalidRequest', `The event of a re-encryption is wrong: ${member}.`);
  }
  const { verb, partition, partitionField, segment, segments, fields, paths, context, contextFrom } = parsed.output;
  const isBound = (context ?? contextFrom) !== undefined;
  // Refuse members that would have no effect, because they mislead. For example, `open` ignores `paths`, and opens all
  // values of a document.
  const faults = [
    ...(verb !== 'seal' && paths !== undefined ? ['paths go with seal'] : []),
    ...(verb === 'rewrap' && isBound ? ['rewrap needs no context'] : []),
    ...(partition !== undefined && partitionField !== undefined
      ? ['partition and partitionField exclude each other']
      : []),
    ...(Object.keys(context ?? {}).some((each) => Object.hasOwn(contextFrom ?? {}, each))
      ? ['a name is in both context and contextFrom']
      : []),
    ...(verb === 'seal' && partition === undefined && partitionField === undefined ? ['seal needs a partition'] : []),
    ...(segment >= segments ? ['segment must be less than segments'] : []),
    ...(fields.length > 1 && isBound ? ['a context goes with one field'] : []),
  ];
  if (faults.length === 0) return parsed.output;
  throw new KeyfoldError('InvalidRequest', `The event of a re-encryption is wrong: ${faults.join(', ')}.`);
}
