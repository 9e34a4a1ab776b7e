import type { AppConfig } from '../config/app-config.ts';
import type { SessionFactory } from '../envelope/session-factory.ts';
import { freeNow } from '../crypto/free-now.ts';
import { KeyfoldError } from '../errors.ts';
import type { Row as SourceRow, RowSource } from '../maintenance/reencryption/rows.ts';
import { recordsOf } from '../maintenance/reencryption/verbs.ts';
import { locateValues, stringOf, valueOf, type JsonBounds, type JsonValue } from '../operations/json-text.ts';
import { decodeDataRowRecord, type DataRowRecord } from '../records/data-row-record.ts';
import { KeyNaming, keyName, type KeyMeta } from '../records/ids.ts';
import type { RowsOptions } from '../rows/rows-options.ts';
import { readAnyRecord } from './any-record.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { linesOf, sizeOf } from './input.ts';
import { checkFiles, prepareFile, replaceContent } from './output-files.ts';
import { progressOf } from './progress.ts';
import { formatKeys, type RecordReport } from './record-report.ts';
import { mustAgreeWithTable } from './table-clock.ts';
import { formatFields, printableJson } from './text.ts';

/** Options of `keyfold verify`. */
export interface VerifyRequest {
  /** A table such as `dynamodb:Customers`, a file of JSON Lines, or `-` for standard input. */
  readonly source: string;
  /** The table. Undefined if the source is a file or standard input. */
  readonly table: RowsOptions | undefined;
  /** The member of each line that holds the record. If undefined, the whole line is the record. */
  readonly field: string | undefined;
  /** The member of each line that names the row. If undefined, the line number names the row. The first line is 1. */
  readonly idField: string | undefined;
  /** A file for the report, which `keys retire-check` reads. */
  readonly reportFile: string | undefined;
  readonly json: boolean;
}

/** How many records are opened at the same time. */
const BATCH = 256;
/** A batch ends at this many characters, so that large records do not fill the memory. */
const BATCH_CHARACTERS = 1_000_000;

/** The depth and the number of values in a line have no limits, because `verify` uses only the record and the ID. */
const LINE_BOUNDS: JsonBounds = { subject: 'request', depth: Infinity, values: Infinity };

/** One record of the source. */
interface Row {
  /** Names the row, or the line of a file. */
  readonly id: string;
  /** Undefined if the row is malformed. */
  readonly record: DataRowRecord | undefined;
}

/**
 * Runs `keyfold verify`: opens every record of a source, and zeroes each plaintext immediately. It prints each record
 * that does not open, and a summary.
 * @returns the exit code: a failure if a record cannot be read
 * @throws KeyfoldError `InvalidRequest` if a file is invalid
 * @throws SourceFault if the table fails
 * @throws Error if the command writes a report, and this machine's clock and the table's differ
 * @throws KeyfoldError the error of KMS or of the metastore. After such an error, it is unknown whether the record
 * opens.
 */
export async function verifyRecords(
  request: VerifyRequest,
  config: AppConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const { terminal, now } = dependencies;
  const { source, table, reportFile } = request;
  const isFile = table === undefined && source !== '-';
  await checkFiles({ 'The source': isFile ? source : undefined, '--report': reportFile });
  if (reportFile !== undefined) await mustAgreeWithTable(config, dependencies);
  const startedAt = new Date(now()).toISOString();
  const verifier = new Verifier(config, await dependencies.openSessions(config));
  const { batches, total } =
    table === undefined
      ? await batchesOfLines(request, dependencies)
      : batchesOfTable(await dependencies.openRows(table), request);
  if (reportFile !== undefined) await prepareFile(reportFile);
  const progress = progressOf('records', dependencies, total);
  try {
    for await (const batch of batches) {
      const codes = await Promise.all(batch.map((row) => verifier.verify(row)));
      for (const [i, code] of codes.entries()) {
        const row = batch[i]?.id ?? '';
        if (code === undefined) continue;
        terminal.out(request.json ? printableJson({ row, code }) : `unreadable  ${row}  ${code}`);
      }
      progress.advance(batch.length);
    }
  } finally {
    progress.end();
  }
  const { service, product } = config.names;
  const report = { kind: 'keyfold-records', source, startedAt, service, product } as const;
  const whole: RecordReport = { ...report, ...verifier.counts() };
  if (request.json) terminal.out(printableJson(whole));
  else terminal.out(linesOfReport(whole));
  if (reportFile !== undefined) await replaceContent(reportFile, printableJson(whole, 2));
  return whole.unreadable > 0 ? EXIT.failed : EXIT.ok;
}

/** The records of a source. */
interface Batches {
  readonly batches: AsyncIterable<readonly Row[]>;
  /** Estimates the number of all records from the number of checked ones. */
  readonly total: (done: number) => number | undefined;
}

async function batchesOfLines(request: VerifyRequest, dependencies: CliDependencies): Promise<Batches> {
  const { source } = request;
  const lines = await linesOf(source, dependencies);
  const size = await sizeOf(source);
  /** The number of characters read so far. Most characters take one byte, so this is also an estimate of the bytes. */
  let read = 0;
  async function* batches(): AsyncGenerator<readonly Row[]> {
    let line = 0;
    let batch: Row[] = [];
    let characters = 0;
    for await (const given of lines) {
      line += 1;
      // This also removes a byte order mark before the first line.
      const text = given?.trim();
      if (text === '') continue;
      batch.push(rowOf(text, line, request));
      read += (given?.length ?? 0) + 1;
      characters += text?.length ?? 0;
      if (batch.length < BATCH && characters < BATCH_CHARACTERS) continue;
      yield batch;
      batch = [];
      characters = 0;
    }
    if (batch.length > 0) yield batch;
  }
  return { batches: batches(), total: (done) => size && Math.round((done * size) / read) };
}

/**
 * The records of a table. The estimate of their number is the number of rows, because most rows hold one record.
 * @throws KeyfoldError `InvalidRequest` after the last batch if no item of a table in DynamoDB has the field. Otherwise
 * the report on a misspelled field would say that no record is left. PostgreSQL refuses a column that does not exist.
 */
function batchesOfTable(source: RowSource, { source: name, field, table }: VerifyRequest): Batches {
  async function* batches(): AsyncGenerator<readonly Row[]> {
    let isEmpty = true;
    let hasField = false;
    for await (const rows of source.pages(undefined)) {
      isEmpty &&= rows.length === 0;
      hasField ||= rows.some(({ cells }) => cells.size > 0);
      const records = rows.flatMap(recordsIn);
      for (let from = 0; from < records.length; from += BATCH) yield records.slice(from, from + BATCH);
    }
    if (!isEmpty && !hasField && table?.kind === 'dynamodb')
      throw new KeyfoldError('InvalidRequest', `No item of ${name} has a value in the attribute ${field}.`);
  }
  return { batches: batches(), total: () => source.size?.() };
}

/**
 * The records in the field of a table's row. The row is malformed if the field holds no record. It is also malformed if
 * the field holds a document in which a string may hide a record.
 */
function recordsIn({ id, cells }: SourceRow): Row[] {
  return [...cells.values()].flatMap((cell): Row[] => {
    try {
      return recordsOf(cell, true).map((record) => ({ id, record }));
    } catch (error) {
      if (!(error instanceof KeyfoldError)) throw error;
      return [{ id, record: undefined }];
    }
  });
}

/** Opens records and counts them. */
class Verifier {
  readonly #keyfold: Pick<SessionFactory, 'session'>;
  readonly #naming: KeyNaming;
  readonly #keys = new Map<string, { readonly id: string; readonly created: number; records: number }>();
  #opens = 0;
  #needsContext = 0;
  #unreadable = 0;
  #malformed = 0;

  constructor(config: AppConfig, keyfold: Pick<SessionFactory, 'session'>) {
    this.#keyfold = keyfold;
    this.#naming = new KeyNaming(config.names);
  }

  /** @returns the error code if the record cannot be read. Undefined if the record opens, or is bound to a context. */
  async verify({ id, record }: Row): Promise<string | undefined> {
    if (record === undefined) {
      this.#malformed += 1;
      this.#unreadable += 1;
      return 'InvalidRequest';
    }
    this.#count(record.key.parent as KeyMeta);
    try {
      const partition = this.#naming.partitionOf(record.key.parent.id);
      if (partition === undefined) throw new KeyfoldError('RecordUnreadable', 'It is of another service.');
      const plaintext = await this.#keyfold.session(partition).decrypt(record);
      plaintext.fill(0);
      freeNow(plaintext);
      this.#opens += 1;
      return undefined;
    } catch (error) {
      if (!(error instanceof KeyfoldError)) throw error;
      if (error.code === 'ContextRequired') {
        this.#needsContext += 1;
        return undefined;
      }
      // Someone who can write a record can invent a key that is not visible yet. So such a record must not end the run.
      const isOfTheRun = error.retryable && error.code !== 'KeyNotYetVisible';
      if (isOfTheRun || error.code === 'KmsMisconfigured')
        throw new KeyfoldError(error.code, `Row ${id}: ${error.message}`, { cause: error.cause });
      this.#unreadable += 1;
      return error.code;
    } finally {
      freeNow(record.data);
    }
  }

  counts(): Pick<RecordReport, 'records' | 'opens' | 'needsContext' | 'unreadable' | 'malformed' | 'keys'> {
    const [opens, needsContext, unreadable] = [this.#opens, this.#needsContext, this.#unreadable];
    const records = opens + needsContext + unreadable;
    return { records, opens, needsContext, unreadable, malformed: this.#malformed, keys: [...this.#keys.values()] };
  }

  #count({ id, created }: KeyMeta): void {
    const name = keyName({ id, created });
    const known = this.#keys.get(name);
    if (known === undefined) this.#keys.set(name, { id, created, records: 1 });
    else known.records += 1;
  }
}

function rowOf(text: string | undefined, line: number, { field, idField }: VerifyRequest): Row {
  let id = `line ${line}`;
  if (text === undefined) return { id, record: undefined };
  try {
    // Unlike JSON.parse, this copies no payload if the record is in the form that Keyfold writes.
    if (field === undefined && idField === undefined && text.startsWith('{"Key":')) {
      return { id, record: decodeDataRowRecord(text) };
    }
    const value: unknown = JSON.parse(text);
    if (field === undefined && idField === undefined) return { id, record: readAnyRecord(value).record };
    // JSON.parse may confuse names (see valueOf) and rounds numbers, so find the members in the text.
    const { members } = locateValues(text, LINE_BOUNDS);
    const named = idField === undefined ? undefined : members?.get(idField);
    if (named !== undefined) id = scalarOf(text, named) ?? id;
    if (field === undefined) return { id, record: readAnyRecord(value).record };
    const given = members?.get(field);
    return { id, record: readAnyRecord(given && valueOf(text, given)).record };
  } catch {
    // Omit the reason, because the error of JSON.parse quotes the line.
    return { id, record: undefined };
  }
}

/** A string, or the digits of a number. Undefined for any other value. */
function scalarOf(text: string, value: JsonValue): string | undefined {
  const source = text.slice(value.start, value.end);
  return stringOf(text, value) ?? (/^[-\d]/.test(source) ? source : undefined);
}

function linesOfReport({ records, opens, needsContext, unreadable, keys }: RecordReport): string[] {
  const summary = formatFields([
    ['records', String(records)],
    ['open', String(opens)],
    ['need a context', String(needsContext)],
    ['unreadable', String(unreadable)],
  ]);
  return [...summary, ...formatKeys(keys)];
}
