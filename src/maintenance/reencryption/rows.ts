import { KeyfoldError } from '../../errors.ts';
import type { RecordContext } from '../../records/record-proof.ts';

/** The value of one field of a row: a string, the JSON text of any other value, or bytes. */
export type Cell =
  | { readonly kind: 'text'; readonly text: string }
  | { readonly kind: 'json'; readonly text: string }
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array };

/** The cells that a run writes, keyed by the names of their fields. */
export type Cells = ReadonlyMap<string, Cell>;

/** A cell that was read. It is `unreadable` if the field holds a value that no {@link Cell} can represent. */
export type ReadCell = Cell | { readonly kind: 'unreadable' };

/** A row as it was read. */
export interface Row {
  /** Names the row in the quarantine. */
  readonly id: string;
  /** The cells, keyed by the names of their fields. A field that the row lacks is absent. */
  readonly cells: ReadonlyMap<string, ReadCell>;
  /** The partition that the row or the operator names. Undefined if only the record names it. */
  readonly partition: string | undefined;
  /** The context of the row's records. Undefined if they have none. */
  readonly context: RecordContext | undefined;
}

/** The place in a source where a later run resumes. It is JSON that only this kind of source can interpret. */
export type Position = Readonly<Record<string, unknown>>;

/** Rows whose records are re-encrypted: a DynamoDB table, a file, or a PostgreSQL table. */
export interface RowSource<R extends Row = Row> {
  /**
   * Reads the rows page by page. The caller asks for the next page only after it has finished all rows of the previous
   * page. If the caller called {@link position} meanwhile, it must also have saved the result.
   * @param from a {@link position} of an earlier run. If undefined, reading begins with the first row.
   * @param signal if it aborts, the source stops waiting, for example for a rate limit. It may throw the reason.
   */
  pages(from: Position | undefined, signal?: AbortSignal): AsyncIterable<readonly R[]>;
  /**
   * Writes cells of a row if the row has not changed since it was read.
   * @returns `changed`, without a write, if another writer has changed or removed the row
   */
  replace(row: R, cells: Cells): Promise<'written' | 'changed'>;
  /** Reads a row again. Undefined if it is gone. */
  reread(row: R): Promise<R | undefined>;
  /** Makes all writes durable. Returns the position after the last page whose rows are finished. */
  position(): Promise<Position>;
  /** Estimates how many rows the source has, once it has read a page. Absent or undefined if it cannot tell. */
  size?(): number | undefined;
}

/** The names of the fields that a source reads. */
export interface FieldNames {
  /** The fields that hold records, or that hold plaintext to seal. */
  readonly fields: readonly string[];
  /** The field that names the partition. */
  readonly partitionField: string | undefined;
  /** The partition of every row, if no field names it. */
  readonly partition: string | undefined;
  /** The context entries that are the same for every row. */
  readonly context: RecordContext | undefined;
  /** The context entries whose values are in fields. Maps the name of each entry to its field. */
  readonly contextFrom: Readonly<Record<string, string>> | undefined;
}

/** The fields that name the partition and the context. They are read in addition to the cells. */
export function namingFields({ partitionField, contextFrom = {} }: FieldNames): string[] {
  const named = [...(partitionField === undefined ? [] : [partitionField]), ...Object.values(contextFrom)];
  return [...new Set(named)];
}

/**
 * The partition and the context of a row.
 * @param textOf returns the text of a field. Undefined if the row lacks the field, or if the field's value is neither a
 * string nor a number.
 */
export function naming(
  names: FieldNames,
  textOf: (field: string) => string | undefined,
): Pick<Row, 'partition' | 'context'> {
  const { partitionField, contextFrom } = names;
  const partition = partitionField === undefined ? names.partition : (textOf(partitionField) ?? '');
  if (names.context === undefined && contextFrom === undefined) return { partition, context: undefined };
  // Object.fromEntries keeps an entry named `__proto__`. If a field is missing, the value of its entry is undefined. A
  // check for strings then fails later, but only for this row.
  const read = Object.entries(contextFrom ?? {}).map(([name, field]) => [name, textOf(field) as string] as const);
  return { partition, context: Object.fromEntries([...Object.entries(names.context ?? {}), ...read]) };
}

/** The error for a source that failed. It does not mean that a row is at fault. */
export class SourceFault extends Error {
  override readonly name = 'SourceFault';
  /** Whether another attempt may succeed. */
  readonly mayPass: boolean;

  constructor(message: string, mayPass: boolean) {
    super(message);
    this.mayPass = mayPass;
  }
}

/**
 * The error for a source that is a key table. If a run sealed the keys in that table, neither these keys nor any record
 * could be opened again.
 */
export function keyTableRefused(table: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The table ${table} is a key table: its rows hold keys, not records.`);
}
