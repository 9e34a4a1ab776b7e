import { KeyfoldError } from '../errors.ts';
import { retried } from '../maintenance/reencryption/retries.ts';
import {
  keyTableRefused,
  naming,
  namingFields,
  SourceFault,
  type Cell,
  type Cells,
  type FieldNames,
  type Position,
  type ReadCell,
  type Row,
  type RowSource,
} from '../maintenance/reencryption/rows.ts';
import { isSqlState, postgresCodeOf } from '../metastore/sql/sql-faults.ts';
import { quoted, sqlTableName } from './postgres-table-name.ts';

/** The options of {@link PostgresRows}. */
export interface PostgresRowsOptions extends FieldNames {
  /** The table, or `schema.table`, as in SQL. A name without double quotes is folded to lower case. */
  readonly table: string;
}

/** The part of a `Pool` of `pg` that this source uses. It returns rows as arrays of strings. */
export interface RowsPool {
  query(query: {
    readonly text: string;
    readonly values: readonly (string | null)[];
    readonly rowMode: 'array';
  }): Promise<{ readonly rows: readonly (readonly (string | null)[])[]; readonly rowCount: number | null }>;
}

/** A row of the table: its key and the other columns that were read, as text. */
interface TableRow extends Row {
  readonly key: readonly string[];
  readonly columns: ReadonlyMap<string, string | null>;
}

/**
 * The types of the columns, without their lengths, keyed by the column's name. A domain counts as the type that it
 * restricts.
 */
type Types = ReadonlyMap<string, string>;

const PAGE_ROWS = 1000;
/**
 * A page ends before the row that would exceed this size, because a thousand large rows would not fit into memory.
 * Texts and bytes count in full. Other values count as PostgreSQL stores them, so they may be compressed.
 */
const PAGE_BYTES = 8 * 1024 * 1024;

/** The types whose text depends on settings of the session. */
const STYLED = /^(?:timestamp|time|date|double|real)\b/;
/**
 * Whether this session's settings are lossless: PostgreSQL writes each date and number as text that it reads as the
 * same value.
 */
const IS_EXACT = "current_setting('DateStyle') LIKE 'ISO%' AND current_setting('extra_float_digits')::int > 0";

/** The rows of a PostgreSQL table, in the order of its primary key. */
export class PostgresRows implements RowSource<TableRow> {
  readonly #options: PostgresRowsOptions;
  readonly #pool: RowsPool;
  readonly #table: string;
  #types: Types = new Map();
  #key: readonly string[] = [];
  #size: number | undefined;
  #after: readonly string[] | undefined;

  /**
   * @param pool its queries must have a time limit
   * @throws KeyfoldError `InvalidRequest` if the name of the table is invalid
   */
  constructor(options: PostgresRowsOptions, pool: RowsPool) {
    this.#options = options;
    this.#pool = pool;
    this.#table = sqlTableName(options.table);
  }

  async *pages(from: Position | undefined, signal?: AbortSignal): AsyncGenerator<readonly TableRow[]> {
    await retried(() => this.#describe(), signal);
    this.#after = from?.['after'] as readonly string[] | undefined;
    for (;;) {
      const limit = await retried(() => this.#pageLimit(this.#after), signal);
      const rows = await retried(() => this.#page(this.#after, limit), signal);
      this.#after = rows.at(-1)?.key ?? this.#after;
      if (rows.length > 0) yield rows;
      if (rows.length < PAGE_ROWS && limit === PAGE_ROWS) return;
    }
  }

  async replace({ key, columns }: TableRow, cells: Cells): Promise<'written' | 'changed'> {
    const values: (string | null)[] = [];
    const parameter = (value: string | null): string => `$${values.push(value)}`;
    const sets = Array.from(cells, ([field, cell]) => {
      return `${quoted(field)} = ${this.#parsed(field, parameter(this.#textOfCell(field, cell)))}`;
    });
    const unchanged = Array.from(columns, ([name, value]) => {
      return `${this.#read(name)} COLLATE "C" IS NOT DISTINCT FROM ${parameter(value)}`;
    });
    const where = [...this.#whereKey(key, parameter), ...unchanged].join(' AND ');
    const { rowCount } = await this.#send(`UPDATE ${this.#table} SET ${sets.join(', ')} WHERE ${where}`, values);
    return rowCount === 0 ? 'changed' : 'written';
  }

  async reread({ key }: TableRow): Promise<TableRow | undefined> {
    const values: (string | null)[] = [];
    const where = this.#whereKey(key, (value) => `$${values.push(value)}`).join(' AND ');
    const { rows } = await this.#send(`${this.#select()} WHERE ${where}`, values);
    return rows[0] && this.#rowOf(rows[0]);
  }

  async position(): Promise<Position> {
    return this.#after === undefined ? {} : { after: this.#after };
  }

  /** The number of rows when PostgreSQL last analysed the table. */
  size(): number | undefined {
    return this.#size;
  }

  async #describe(): Promise<void> {
    const columns = await this.#send(
      'WITH RECURSIVE types (name, type) AS (' +
        'SELECT attname, atttypid FROM pg_attribute WHERE ' +
        'attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped ' +
        "UNION ALL SELECT name, typbasetype FROM types JOIN pg_type ON oid = type WHERE typtype = 'd') " +
        "SELECT name, format_type(type, NULL) FROM types JOIN pg_type ON oid = type WHERE typtype <> 'd'",
      [this.#table],
    );
    const { table, fields } = this.#options;
    if (columns.rows.length === 0)
      throw invalid(`There is no table ${table}. Without double quotes, its name is folded to lower case.`);
    this.#types = new Map(columns.rows.map(([name, type]) => [name ?? '', type ?? '']));
    const key = await this.#send(
      'SELECT a.attname, c.reltuples::bigint::text FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid ' +
        'JOIN pg_attribute a ON a.attrelid = i.indrelid ' +
        // The index can include columns that are not part of the key. They come last.
        'AND a.attnum = ANY((i.indkey::int2[])[0:i.indnkeyatts - 1]) ' +
        'AND i.indrelid = $1::regclass AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)',
      [this.#table],
    );
    this.#key = key.rows.map(([name]) => name ?? '');
    // Before the first analysis, the number is -1.
    const size = Number(key.rows[0]?.[1] ?? -1);
    this.#size = size < 0 ? undefined : size;
    if (this.#key.length === 0) throw invalid(`The table ${table} has no primary key.`);
    if (this.#key.join() === 'id,created' && fields.includes('key_record')) throw keyTableRefused(table);
    const absent = [...fields, ...namingFields(this.#options)].find((name) => !this.#types.has(name));
    if (absent !== undefined) throw invalid(`The table ${table} has no column ${absent}.`);
    const inKey = fields.find((name) => this.#key.includes(name));
    if (inKey !== undefined) throw invalid(`The column ${inKey} is part of the primary key, so it cannot be changed.`);
    await this.#mustReadKeysExactly();
  }

  /**
   * Checks that a key stays the same when PostgreSQL writes it as text and reads it again. If the key changed, a search
   * for its row would find nothing, as if the row were gone.
   */
  async #mustReadKeysExactly(): Promise<void> {
    if (!this.#key.some((name) => STYLED.test(this.#types.get(name) ?? ''))) return;
    const { rows } = await this.#send(`SELECT (${IS_EXACT})::text`, []);
    if (rows[0]?.[0] === 'true') return;
    throw invalid('The primary key has a date or a fraction: SET DateStyle = ISO, and extra_float_digits = 1.');
  }

  /** The columns that are read in addition to the key. A row is written only if none of them has changed. */
  #columns(): string[] {
    return [...new Set([...this.#options.fields, ...namingFields(this.#options)])];
  }

  #select(): string {
    const columns = [...this.#key, ...this.#columns()].map((name) => this.#read(name));
    return `SELECT ${columns.join(', ')} FROM ${this.#table} AS source`;
  }

  async #page(after: readonly string[] | undefined, limit: number): Promise<TableRow[]> {
    const { rows } = await this.#send(`${this.#select()}${this.#next(after, limit)}`, after ?? []);
    return rows.map((values) => this.#rowOf(values));
  }

  /** How many rows to read next: as many as fit into {@link PAGE_BYTES}, and at least one. */
  async #pageLimit(after: readonly string[] | undefined): Promise<number> {
    const size = this.#columns().map((name) => `coalesce(${this.#bytesOf(name)}, 0)::bigint`);
    const text = `SELECT (${size.join(' + ')})::text FROM ${this.#table} AS source${this.#next(after, PAGE_ROWS)}`;
    const { rows } = await this.#send(text, after ?? []);
    let bytes = 0;
    const end = rows.findIndex(([rowBytes], i) => {
      bytes += Number(rowBytes);
      return i > 0 && bytes > PAGE_BYTES;
    });
    return end < 0 ? PAGE_ROWS : end;
  }

  /** The end of a query that reads the next rows in the order of the key. */
  #next(after: readonly string[] | undefined, limit: number): string {
    // Without the table's name, a name in ORDER BY would refer to the text that the query returns, and 10 would come
    // before 9.
    const key = this.#key.map((name) => `source.${quoted(name)}`).join(', ');
    const parameters = this.#key.map((name, i) => this.#parsed(name, `$${i + 1}`)).join(', ');
    const where = after === undefined ? '' : ` WHERE (${key}) > (${parameters})`;
    return `${where} ORDER BY ${key} LIMIT ${limit}`;
  }

  /** The expression for the size of a value in bytes. Each function finds the size without reading a large value. */
  #bytesOf(name: string): string {
    const isText = /^(?:text|bytea|character varying)$/.test(this.#types.get(name) ?? '');
    return isText ? `octet_length(${quoted(name)})` : `pg_column_size(${quoted(name)})`;
  }

  #rowOf(values: readonly (string | null)[]): TableRow {
    const key = values.slice(0, this.#key.length).map((value) => value ?? '');
    const columns = new Map(this.#columns().map((name, i) => [name, values[key.length + i] ?? null] as const));
    const textOf = (name: string): string | undefined => {
      const inKey = this.#key.indexOf(name);
      return inKey < 0 ? (columns.get(name) ?? undefined) : key[inKey];
    };
    const cells = this.#options.fields.flatMap((name) => {
      const text = columns.get(name) ?? null;
      // A JSON null counts as absent, too.
      return text === null || (text === 'null' && this.#isJson(name))
        ? []
        : [[name, this.#cellOf(name, text)] as const];
    });
    const id = JSON.stringify(Object.fromEntries(this.#key.map((name, i) => [name, key[i]])));
    return { id, key, columns, cells: new Map(cells), ...naming(this.#options, textOf) };
  }

  #whereKey(key: readonly string[], parameter: (value: string) => string): string[] {
    return this.#key.map((name, i) => `${quoted(name)} = ${this.#parsed(name, parameter(key[i] ?? ''))}`);
  }

  /** The expression that reads a column as text. */
  #read(name: string): string {
    return this.#isBytes(name) ? `encode(${quoted(name)}, 'hex')` : `${quoted(name)}::text`;
  }

  /**
   * The expression that converts the text from {@link PostgresRows.#read} to a value of the column. A parameter without
   * a cast takes the column's type, and PostgreSQL refuses a text that is too long. A cast would truncate the text.
   */
  #parsed(name: string, parameter: string): string {
    return this.#isBytes(name) ? `decode(${parameter}, 'hex')` : parameter;
  }

  #isBytes(name: string): boolean {
    return this.#types.get(name) === 'bytea';
  }

  #isJson(name: string): boolean {
    return /^jsonb?$/.test(this.#types.get(name) ?? '');
  }

  #cellOf(name: string, text: string): ReadCell {
    if (this.#isBytes(name)) return { kind: 'bytes', bytes: Buffer.from(text, 'hex') };
    if (!this.#isJson(name)) return { kind: 'text', text };
    return text.startsWith('"') ? { kind: 'text', text: JSON.parse(text) as string } : { kind: 'json', text };
  }

  #textOfCell(name: string, cell: Cell): string {
    const isJson = this.#isJson(name);
    if (cell.kind === 'text' && isJson) return JSON.stringify(cell.text);
    if (this.#isBytes(name)) return Buffer.from(cell.kind === 'bytes' ? cell.bytes : cell.text).toString('hex');
    if (cell.kind !== 'bytes') return cell.text;
    const base64 = Buffer.from(cell.bytes).toString('base64');
    return isJson ? JSON.stringify(base64) : base64;
  }

  async #send(text: string, values: readonly (string | null)[]): ReturnType<RowsPool['query']> {
    try {
      return await this.#pool.query({ text, values, rowMode: 'array' });
    } catch (error) {
      const name = postgresCodeOf(error);
      // PostgreSQL will refuse this row again. The SQLSTATE classes are: 22, a value does not fit; 23, a constraint is
      // violated; P0, a trigger refuses the row; 54, a limit of PostgreSQL is exceeded.
      if (/^(?:22|23|54|P0)[0-9A-Z]{3}$/.test(name))
        throw new KeyfoldError('InvalidRequest', `PostgreSQL refuses the changed row: ${name}.`);
      // These faults may pass. The SQLSTATE classes are: 08 and 57, the connection or the query was ended; 40, a
      // deadlock or a conflict with another transaction; 53 and 55, PostgreSQL is busy. The code 25006 means that the
      // server is read-only: after a failover, a new connection leads to the new primary server.
      const mayPass = !isSqlState(name) || /^(?:08|40|53|55|57)/.test(name) || name === '25006';
      throw new SourceFault(`The table ${this.#options.table} fails: ${name}`, mayPass);
    }
  }
}

function invalid(message: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', message);
}
