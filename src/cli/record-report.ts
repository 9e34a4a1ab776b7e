import { KeyfoldError } from '../errors.ts';

/** What `keyfold verify` found in a source. */
export interface RecordReport {
  readonly kind: 'keyfold-records';
  readonly source: string;
  /** ISO 8601. */
  readonly startedAt: string;
  readonly service: string;
  readonly product: string;
  readonly records: number;
  readonly opens: number;
  /** Records that are bound to a context, which the command does not know. */
  readonly needsContext: number;
  readonly unreadable: number;
  /** The unreadable records that do not parse, so that their key is unknown. */
  readonly malformed: number;
  /** How many records name each Intermediate Key. */
  readonly keys: readonly { readonly id: string; readonly created: number; readonly records: number }[];
}

/**
 * Parses the file that `keyfold verify --report` wrote.
 * @throws KeyfoldError `InvalidRequest` if the text is anything else
 */
export function parseRecordReport(text: string, file: string): RecordReport {
  try {
    const report = JSON.parse(text) as RecordReport;
    const isReport =
      report.kind === 'keyfold-records' &&
      !Number.isNaN(Date.parse(report.startedAt)) &&
      Number.isSafeInteger(report.malformed) &&
      report.keys.every((key) => typeof key.id === 'string' && Number.isSafeInteger(key.records));
    if (isReport) return report;
  } catch {
    // Falls through to the error below.
  }
  throw new KeyfoldError('InvalidRequest', `The file ${file} is not a report of keyfold verify.`);
}
