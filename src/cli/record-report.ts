import { KeyfoldError } from '../errors.ts';
import { formatTable } from './text.ts';

/**
 * A report on how many records of a source are sealed under each key. `keyfold verify` and `keyfold reencrypt` write
 * it.
 */
export interface KeyReport {
  readonly kind: 'keyfold-records';
  readonly source: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly service: string;
  readonly product: string;
  readonly records: number;
  /** The number of records that cannot be parsed, and whose keys are therefore unknown. */
  readonly malformed: number;
  /** The number of records under each Intermediate Key. */
  readonly keys: readonly { readonly id: string; readonly created: number; readonly records: number }[];
}

/** What `keyfold verify` found in a source. */
export interface RecordReport extends KeyReport {
  readonly opens: number;
  /**
   * The number of records that could not be opened because they are bound to a context, which the command does not
   * know.
   */
  readonly needsContext: number;
  readonly unreadable: number;
}

/**
 * Parses the file that `keyfold verify --report` or `keyfold reencrypt --report` wrote.
 * @throws KeyfoldError `InvalidRequest` if the text is anything else
 */
export function parseRecordReport(text: string, file: string): KeyReport {
  try {
    const report = JSON.parse(text) as KeyReport;
    const isReport =
      report.kind === 'keyfold-records' &&
      !Number.isNaN(Date.parse(report.startedAt)) &&
      [report.source, report.service, report.product].every((each) => typeof each === 'string') &&
      isCount(report.malformed) &&
      report.keys.every(({ id, created, records }) => typeof id === 'string' && isCount(created) && isCount(records));
    if (isReport) return report;
  } catch {
    // Fall through to the error below.
  }
  throw new KeyfoldError('InvalidRequest', `The file ${file} is not a report of keyfold verify or reencrypt.`);
}

function isCount(value: unknown): boolean {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

/** The text output lists at most this many keys. `--json` and `--report` list all of them. */
const SHOWN_KEYS = 50;

/**
 * Formats the number of records under each key. The key with the most records comes first. If two keys have as many
 * records, the newer key comes first, and of two keys of one date, the one whose ID is first in order.
 */
export function formatKeys(keys: KeyReport['keys']): string[] {
  const inOrder = keys.toSorted(
    (a, b) => b.records - a.records || b.created - a.created || Buffer.compare(Buffer.from(a.id), Buffer.from(b.id)),
  );
  const largest = inOrder.slice(0, SHOWN_KEYS);
  const rows = largest.map((key) => [key.id, String(key.created), String(key.records)]);
  const more = keys.length > SHOWN_KEYS ? [`and ${keys.length - SHOWN_KEYS} keys more`] : [];
  return [...formatTable(['KEY', 'CREATED', 'RECORDS'], rows), ...more];
}
