import type { Clock } from '../../async/clock.ts';
import { decodeBase64 } from '../../crypto/base64.ts';
import { utf8Of } from '../../crypto/utf8.ts';
import { isDatedAhead } from '../../envelope/key-standing.ts';
import type { SessionFactory } from '../../envelope/session-factory.ts';
import type { Session } from '../../envelope/session.ts';
import { KeyfoldError, recordUnreadable } from '../../errors.ts';
import type { JsonDocument } from '../../operations/document.ts';
import { fieldSessions } from '../../operations/field-context.ts';
import { jsonTextOf } from '../../operations/sealed-field.ts';
import { stringsOf } from '../../operations/context.ts';
import { decryptFields, encryptFields } from '../../operations/session-fields.ts';
import { encodeCompactRecord } from '../../records/compact-record.ts';
import type { DataRowRecord } from '../../records/data-row-record.ts';
import { secondsOf, type KeyMeta, type KeyNaming } from '../../records/ids.ts';
import { contentOf, documentCell, mayBeRecord, recordCell, type Content, type RecordForm } from './content.ts';
import type { Cell, Cells, ReadCell, Row } from './rows.ts';
import { documentOf, hidesRecord, sealedFieldsOf, spliced } from './sealed-fields.ts';

/** What a run does with each record. */
export const VERBS = ['rewrap', 'reseal', 'seal', 'open'] as const;
export type Verb = (typeof VERBS)[number];

/** The forms of a plaintext in a text field. */
export const PLAINTEXT_FORMS = ['text', 'base64'] as const;
export type PlaintextForm = (typeof PLAINTEXT_FORMS)[number];

/** Opens ciphertexts that AWS KMS made with `Encrypt`. */
export interface CiphertextOpener {
  /**
   * @returns the plaintext, which the caller zeroes
   * @throws KeyfoldError `RecordUnreadable` if KMS refuses the ciphertext, or an error of the KMS
   */
  open(ciphertext: Uint8Array): Promise<Uint8Array>;
}

/** What a run does, and how it reads and writes plaintexts. */
export interface VerbOptions {
  readonly verb: Verb;
  /** The form in which `seal` writes records. */
  readonly form: RecordForm;
  /** The form of plaintexts in text fields, for `seal` and `open`. */
  readonly plaintext: PlaintextForm;
  /** The JSONPaths of the values that `seal` seals. Undefined to seal whole cells. */
  readonly paths: readonly string[] | undefined;
}

/** The sessions of the service, and everything else that the verbs use. */
export interface VerbDependencies {
  readonly keyfold: Pick<SessionFactory, 'session'>;
  readonly naming: KeyNaming;
  /** `seal` uses this to open its input. Undefined if the input is plaintext. */
  readonly ciphertexts?: CiphertextOpener | undefined;
  readonly now: Clock;
}

/** What a verb did with a row. */
export interface Change {
  /** The cells to write. Empty if the row needs no change. */
  readonly cells: Cells;
  /** The keys of the row's records after the change. */
  readonly keys: readonly KeyMeta[];
}

type SealedContent = Extract<Content, { readonly is: 'record' }>;

/** Applies one verb to rows. A verb does not change a row that it has already processed. */
export class Verbs {
  readonly #options: VerbOptions;
  readonly #dependencies: VerbDependencies;
  readonly #since: number;

  /**
   * @param startedAtMs when the run began. `reseal` does not change records that were sealed under the latest key after
   * that time.
   */
  constructor(options: VerbOptions, dependencies: VerbDependencies, startedAtMs: number) {
    this.#options = options;
    this.#dependencies = dependencies;
    this.#since = secondsOf(startedAtMs);
  }

  /**
   * @throws KeyfoldError if a cell cannot be processed, or a key cannot be loaded. In that case no cell of the row is
   * written.
   */
  async apply(row: Row): Promise<Change> {
    const cells = new Map<string, Cell>();
    const keys: KeyMeta[] = [];
    for (const [field, cell] of row.cells) {
      const content = contentOf(cell);
      if (cell.kind === 'unreadable') continue;
      const done =
        content.is === 'record'
          ? await this.#record(content, cell, row, keys)
          : await this.#other(content, cell, row, keys);
      if (done !== undefined) cells.set(field, done);
    }
    return { cells, keys };
  }

  async #record(content: SealedContent, cell: Cell, row: Row, keys: KeyMeta[]): Promise<Cell | undefined> {
    const { record, form, kind } = content;
    const session = this.#sessionOf(record, row);
    const context = stringsOf(row.context, 'context');
    const bound = context && session.withContext(context, { form: kind });
    const { verb } = this.#options;
    if (verb === 'open') return this.#plaintextCell(await (bound ?? session).decrypt(record), kind, cell);
    if (verb === 'seal') {
      // The cell already holds a record, which another run or another writer has sealed. If the row has a context,
      // readers expect the record to be bound to it.
      if (bound !== undefined && record.proof === undefined) throw recordUnreadable('it is not bound to any context');
      (await (bound ?? session).decrypt(record)).fill(0);
      keys.push(record.key.parent as KeyMeta);
      return undefined;
    }
    const moved = verb === 'rewrap' ? await rewrapped(session, record) : await this.#resealed(session, bound, record);
    keys.push((moved ?? record).key.parent as KeyMeta);
    return moved && recordCell(moved, form, kind, cell);
  }

  async #other(
    content: Exclude<Content, SealedContent>,
    cell: Cell,
    row: Row,
    keys: KeyMeta[],
  ): Promise<Cell | undefined> {
    const { verb } = this.#options;
    if (verb === 'seal') return this.#seal(content, cell, row, keys);
    if (content.is === 'document') return this.#document(content.text, cell, row, keys);
    if (verb !== 'open') throw new KeyfoldError('InvalidRequest', 'The field holds no record.');
    mustNotBeRecord(cell);
    return undefined;
  }

  /** Changes the sealed fields of a document. */
  async #document(text: string, cell: Cell, row: Row, keys: KeyMeta[]): Promise<Cell | undefined> {
    const { verb } = this.#options;
    const document = checkedDocumentOf(text);
    const fields = sealedFieldsOf(document);
    const [first] = fields;
    if (first === undefined) return undefined;
    const session = this.#sessionOf(first.record, row);
    const context = stringsOf(row.context, 'context');
    if (verb === 'open') {
      const request = { documentText: text, all: true, ...(context && { context }) } as const;
      return documentCell(await decryptFields(session, request), cell);
    }
    const values = fields.map(({ value }) => value);
    const sessionOf = fieldSessions({ context }, document, values, session);
    const changes: [(typeof values)[number], string][] = [];
    for (const { value, kind, record } of fields) {
      const moved =
        verb === 'rewrap'
          ? await rewrapped(session, record)
          : await this.#resealed(session, sessionOf?.(value, kind), record);
      keys.push((moved ?? record).key.parent as KeyMeta);
      if (moved !== undefined) changes.push([value, `"${encodeCompactRecord(moved, kind) ?? ''}"`]);
    }
    return changes.length === 0 ? undefined : documentCell(spliced(text, changes), cell);
  }

  /** Seals a plaintext, or the selected values of a document. */
  async #seal(content: Content, cell: Cell, row: Row, keys: KeyMeta[]): Promise<Cell | undefined> {
    const { paths, form } = this.#options;
    if (row.partition === undefined) throw new KeyfoldError('InvalidRequest', 'No partition is named.');
    const session = this.#dependencies.keyfold.session(row.partition);
    const context = stringsOf(row.context, 'context');
    if (paths !== undefined) {
      if (content.is !== 'document') throw new KeyfoldError('InvalidRequest', 'The field holds no JSON document.');
      checkedDocumentOf(content.text);
      const request = { documentText: content.text, fields: paths, skipSealed: true, ...(context && { context }) };
      const text = await encryptFields(session, request);
      for (const { record } of sealedFieldsOf(documentOf(text))) keys.push(record.key.parent as KeyMeta);
      return text === content.text ? undefined : documentCell(text, cell);
    }
    mustNotBeRecord(cell);
    const kind = cell.kind === 'json' ? 'json' : 'bytes';
    const plaintext = await this.#plaintextOf(cell);
    try {
      const sealing = context === undefined ? session : session.withContext(context, { form: kind });
      const record = await sealing.encrypt(plaintext);
      keys.push(record.key.parent as KeyMeta);
      return recordCell(record, kind === 'json' ? 'compact' : form, kind, cell);
    } finally {
      plaintext.fill(0);
    }
  }

  /** @returns undefined if the record was sealed in this run, or by a writer after the run began */
  async #resealed(
    session: Session,
    bound: Session | undefined,
    record: DataRowRecord,
  ): Promise<DataRowRecord | undefined> {
    const sealing = bound ?? session;
    const plaintext = await sealing.decrypt(record);
    try {
      const { created } = record.key;
      // If a record is dated too far ahead, its date does not show whether it was sealed after the run began.
      const isNew = created >= this.#since && !isDatedAhead(created, this.#dependencies.now());
      const isFresh = isNew && (record.proof !== undefined) === (bound !== undefined);
      if (isFresh && (await rewrapped(session, record)) === undefined) return undefined;
      return await sealing.encrypt(plaintext);
    } finally {
      plaintext.fill(0);
    }
  }

  /** @throws KeyfoldError `RecordUnreadable` if the record belongs to another service, or not to the row's partition */
  #sessionOf(record: DataRowRecord, row: Row): Session {
    const { keyfold, naming } = this.#dependencies;
    const partition = naming.partitionOf(record.key.parent.id);
    if (partition === undefined) throw recordUnreadable('it is of another service');
    if (row.partition !== undefined && row.partition !== partition)
      throw recordUnreadable("it is not of the row's partition");
    return keyfold.session(partition);
  }

  async #plaintextOf(cell: Cell): Promise<Uint8Array> {
    const { ciphertexts } = this.#dependencies;
    const isBase64 = ciphertexts !== undefined || this.#options.plaintext === 'base64';
    const bytes =
      cell.kind === 'bytes'
        ? Buffer.from(cell.bytes)
        : cell.kind === 'text' && isBase64
          ? decodeBase64(cell.text)
          : bytesOf(cell.text);
    if (bytes === undefined) throw new KeyfoldError('InvalidRequest', 'The field is not padded standard base64.');
    return ciphertexts === undefined ? bytes : ciphertexts.open(bytes);
  }

  /** Writes an opened payload, and zeroes it. */
  async #plaintextCell(payload: Buffer, kind: 'bytes' | 'json', replaced: Cell): Promise<Cell> {
    if (replaced.kind === 'bytes') return { kind: 'bytes', bytes: payload };
    try {
      if (kind === 'json') return { kind: 'json', text: jsonTextOf(payload) };
      if (this.#options.plaintext === 'base64') return { kind: 'text', text: payload.toString('base64') };
      const text = utf8Of(payload);
      if (text === undefined) throw recordUnreadable('the payload is not UTF-8');
      return { kind: 'text', text };
    } finally {
      payload.fill(0);
    }
  }
}

/**
 * The keys that the records of a row name.
 * @param isUnsure whether the fields may hide other records, in base64 or in a string of a document
 * @returns undefined if a record cannot be parsed, or if there may be another record
 */
export function keysOf({ cells }: Row, isUnsure = false): KeyMeta[] | undefined {
  try {
    const records = [...cells.values()].flatMap((cell) => recordsOf(cell, isUnsure));
    return records.map(({ key }) => key.parent as KeyMeta);
  } catch (error) {
    if (error instanceof KeyfoldError) return undefined;
    throw error;
  }
}

/**
 * The records of a cell.
 * @param isUnsure whether the cell may hide other records, in base64 or in a string of a document
 * @throws KeyfoldError if a record cannot be parsed, or if there may be another record
 */
export function recordsOf(cell: ReadCell, isUnsure: boolean): DataRowRecord[] {
  const content = contentOf(cell);
  if (content.is === 'record') return [content.record];
  const document = content.is === 'plain' ? undefined : documentOf(content.text);
  if (isUnsure && (document === undefined || hidesRecord(document)))
    throw new KeyfoldError('InvalidRequest', 'The key is unknown.');
  return document === undefined ? [] : sealedFieldsOf(document).map(({ record }) => record);
}

/** @throws KeyfoldError `InvalidRequest` if the text of a cell may be a record, whose key is then unknown */
function mustNotBeRecord(cell: Cell): void {
  const text = cell.kind === 'bytes' ? Buffer.from(cell.bytes).toString('latin1') : cell.text;
  if (mayBeRecord(text)) throw new KeyfoldError('InvalidRequest', 'The field holds a record in an unknown form.');
}

/** @throws KeyfoldError `InvalidRequest` if a string of the document may be a record in a form that is not read */
function checkedDocumentOf(text: string): JsonDocument {
  const document = documentOf(text);
  if (!hidesRecord(document)) return document;
  throw new KeyfoldError('InvalidRequest', 'A string of the document holds the text of a record.');
}

/** @returns undefined if the record is already sealed under the latest key */
async function rewrapped(session: Session, record: DataRowRecord): Promise<DataRowRecord | undefined> {
  const result = await session.rewrap(record);
  return result.rewrapped ? result.record : undefined;
}

function bytesOf(text: string): Buffer {
  if (text.isWellFormed()) return Buffer.from(text);
  throw new KeyfoldError('InvalidRequest', 'The field is not well-formed Unicode.');
}
