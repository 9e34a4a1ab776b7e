import { copyFile, open, rename, rm, stat, truncate, type FileHandle } from 'node:fs/promises';
import { utf8Of } from '../crypto/utf8.ts';
import { KeyfoldError } from '../errors.ts';
import { exactInteger } from '../input/exact-integer.ts';
import { MAX_LINE_BYTES } from '../input/line-limit.ts';
import {
  naming,
  type Cell,
  type ReadCell,
  type Cells,
  type FieldNames,
  type Position,
  type Row,
  type RowSource,
} from '../maintenance/reencryption/rows.ts';
import { spliced } from '../maintenance/reencryption/sealed-fields.ts';
import { locateValues, stringOf, type JsonValue } from '../operations/json-text.ts';

/** The options of {@link JsonLinesRows}. */
export interface JsonLinesOptions extends Omit<FieldNames, 'fields'> {
  /** The file that is read. */
  readonly file: string;
  /** The file that receives the result. It appears when all lines are processed. Undefined in a dry run. */
  readonly output: string | undefined;
  /** The members of each line that hold records. Undefined if the line itself is the record. */
  readonly fields: readonly string[] | undefined;
  /** The member of each line that names the row. Undefined to name rows by their line number, from 1. */
  readonly idField: string | undefined;
}

/** A line of the file. */
interface Line extends Row {
  readonly bytes: Buffer;
  /** The text of the line, and its members. Undefined if the line is not a JSON object. */
  readonly json: { readonly text: string; readonly members: ReadonlyMap<string, JsonValue> } | undefined;
  /** The JSON text that replaces the text of this line, without white space around it. */
  replacement: string | undefined;
}

/** The size of the file, and when it was changed. */
interface FileState {
  readonly size: number;
  readonly changedMs: number;
}

/** The progress of the run: the bytes of the input and of the output so far, and the number of lines. */
interface Place {
  input: number;
  output: number;
  line: number;
}

const CHUNK_BYTES = 256 * 1024;
const PAGE_LINES = 1024;
const LINE_FEED = 0x0a;
/** The name of a row's only cell if the whole line is the record. */
const WHOLE_LINE = '';

/**
 * The lines of a JSON Lines file. The result goes to another file, which is renamed to its final name when it is
 * complete. All text outside the changed members stays as it is.
 */
export class JsonLinesRows implements RowSource<Line> {
  readonly #options: JsonLinesOptions;
  readonly #maxLineBytes: number;
  readonly #place: Place = { input: 0, output: 0, line: 0 };
  #source: FileState = { size: 0, changedMs: 0 };
  #page: readonly Line[] = [];
  #partial: { readonly name: string; readonly file: FileHandle } | undefined;
  /** The output file of the earlier run that this run continues. The last saved position may still name it. */
  #earlier: string | undefined;
  /** Whether the caller has received a position. A position contains the name of this run's output file. */
  #isNamed = false;

  constructor(options: JsonLinesOptions, maxLineBytes = MAX_LINE_BYTES) {
    this.#options = options;
    this.#maxLineBytes = maxLineBytes;
  }

  async *pages(from: Position | undefined): AsyncGenerator<readonly Line[]> {
    const { file, output } = this.#options;
    this.#source = await statOf(file);
    // Open the source first, so that a source that cannot be opened leaves no output behind.
    const input = await open(file).catch(unreadable(file));
    try {
      if (from === undefined) await this.#begin();
      else await this.#goOn(from);
      for await (const lines of this.#linesFrom(input)) {
        this.#page = lines.map(({ bytes, line }) => this.#lineOf(bytes, line));
        yield this.#page;
        if (this.#isNamed) await this.#removeEarlier();
        await this.#writePage();
      }
      await this.#mustBeUnchanged();
      await this.#partial?.file.sync().catch(this.#failWriting);
      this.#isNamed = true;
    } finally {
      await input.close();
      await this.#partial?.file.close();
      if (this.#partial !== undefined && !this.#isNamed) await rm(this.#partial.name, { force: true });
    }
    if (this.#partial !== undefined && output !== undefined) await rename(this.#partial.name, output);
    await this.#removeEarlier();
  }

  async replace(line: Line, cells: Cells): Promise<'written'> {
    const { json } = line;
    const whole = cells.get(WHOLE_LINE);
    if (whole !== undefined) line.replacement = jsonOf(whole);
    else if (json !== undefined) {
      const changes = [...cells].map(([field, cell]) => [json.members.get(field) as JsonValue, jsonOf(cell)] as const);
      line.replacement = spliced(
        json.text,
        changes.toSorted(([a], [b]) => a.start - b.start),
      );
    }
    return 'written';
  }

  /** The file has no other writers, so a line cannot have changed. */
  async reread(line: Line): Promise<Line> {
    return line;
  }

  async position(): Promise<Position> {
    await this.#writePage();
    await this.#partial?.file.datasync().catch(this.#failWriting);
    this.#isNamed = true;
    return { ...this.#place, ...this.#source, partial: this.#partial?.name };
  }

  /**
   * An estimate of the number of lines. It assumes that the remaining lines are on average as long as the lines read so
   * far.
   */
  size(): number | undefined {
    const { input, line } = this.#place;
    return input === 0 ? undefined : Math.round((line * this.#source.size) / input);
  }

  async #begin(): Promise<void> {
    const { output } = this.#options;
    if (output === undefined) return;
    const isFree = await stat(output).then(
      () => false,
      () => true,
    );
    if (!isFree) throw new KeyfoldError('InvalidRequest', `The file ${output} already exists.`);
    await this.#open(partialOf(output));
  }

  /** Continues a copy of the earlier run's output, because that run may still be writing to its own file. */
  async #goOn(from: Position): Promise<void> {
    const { file, output } = this.#options;
    const {
      input,
      output: written,
      line,
      size,
      changedMs,
      partial,
    } = from as unknown as Place & FileState & { readonly partial?: string };
    if (size !== this.#source.size || changedMs !== this.#source.changedMs) throw changed(file);
    Object.assign(this.#place, { input, output: written, line });
    if (output === undefined || partial === undefined) return;
    const { size: present } = await stat(partial).catch((): never => {
      const message =
        `The checkpoint names the file ${partial}, which cannot be read. ` +
        `If the file ${output} exists, a run has completed it: delete the checkpoint.`;
      throw new KeyfoldError('InvalidRequest', message);
    });
    if (present < written)
      throw new KeyfoldError('InvalidRequest', `The file ${partial} is shorter than the checkpoint says. Begin again.`);
    const name = partialOf(output);
    try {
      await copyFile(partial, name);
      await truncate(name, written);
      await this.#open(name);
    } catch (error) {
      await rm(name, { force: true });
      throw error instanceof KeyfoldError ? error : this.#failWriting(error as NodeJS.ErrnoException);
    }
    this.#earlier = partial;
  }

  async #removeEarlier(): Promise<void> {
    if (this.#earlier !== undefined) await rm(this.#earlier, { force: true });
    this.#earlier = undefined;
  }

  async #open(name: string): Promise<void> {
    const file = await open(name, 'a', 0o600).catch((error: NodeJS.ErrnoException): never => {
      const { output = name } = this.#options;
      throw new KeyfoldError('InvalidRequest', `The file ${output} cannot be written: ${error.code ?? 'unknown'}.`);
    });
    this.#partial = { name, file };
  }

  readonly #failWriting = ({ code = 'unknown' }: NodeJS.ErrnoException): never => {
    throw new Error(`The file ${this.#options.output ?? ''} cannot be written: ${code}.`);
  };

  /** Writes the lines of the current page to the output, after the caller has finished all of its rows. */
  async #writePage(): Promise<void> {
    const page = this.#page;
    this.#page = [];
    const parts: Buffer[] = [];
    for (const { bytes, replacement } of page) {
      this.#place.line += 1;
      this.#place.input += bytes.length;
      parts.push(replacement === undefined ? bytes : Buffer.from(around(bytes, replacement)));
    }
    const written = Buffer.concat(parts);
    await this.#partial?.file.appendFile(written).catch(this.#failWriting);
    this.#place.output += written.length;
  }

  /** Reads pages of lines. Each line has its line feed. */
  async *#linesFrom(file: FileHandle): AsyncGenerator<{ bytes: Buffer; line: number }[]> {
    let { input: at, line } = this.#place;
    // The parts of a line whose end has not been read yet. They are joined only once, because joining them again for
    // each part would take quadratic time.
    let parts: Buffer[] = [];
    let begunBytes = 0;
    let lines: { bytes: Buffer; line: number }[] = [];
    for (;;) {
      const chunk = Buffer.allocUnsafe(CHUNK_BYTES);
      const { bytesRead } = await file.read(chunk, 0, CHUNK_BYTES, at).catch(unreadable(this.#options.file));
      if (bytesRead === 0) break;
      at += bytesRead;
      const bytes = chunk.subarray(0, bytesRead);
      let start = 0;
      for (let end = bytes.indexOf(LINE_FEED); end >= 0; end = bytes.indexOf(LINE_FEED, start)) {
        line += 1;
        this.#mustFit(begunBytes + end - start, line);
        lines.push({ bytes: Buffer.concat([...parts, bytes.subarray(start, end + 1)]), line });
        parts = [];
        begunBytes = 0;
        start = end + 1;
        if (lines.length < PAGE_LINES) continue;
        yield lines;
        lines = [];
      }
      if (start < bytesRead) parts.push(bytes.subarray(start));
      begunBytes += bytesRead - start;
      this.#mustFit(begunBytes, line + 1);
      if (lines.length > 0) yield lines;
      lines = [];
    }
    if (parts.length > 0) yield [{ bytes: Buffer.concat(parts), line: line + 1 }];
  }

  /** Stops the run at a line that is too long, because the line would fill the memory. */
  #mustFit(bytes: number, line: number): void {
    if (bytes <= this.#maxLineBytes) return;
    const message = `Line ${line} of the file ${this.#options.file} is longer than ${this.#maxLineBytes} bytes.`;
    throw new KeyfoldError('InvalidRequest', message);
  }

  #lineOf(bytes: Buffer, number: number): Line {
    const { fields, idField } = this.#options;
    const text = utf8Of(bytes)?.trim();
    const numbered = { id: `line ${number}`, bytes, replacement: undefined };
    const none = { partition: undefined, context: undefined, json: undefined };
    // An empty line holds no record, so it stays as it is.
    if (text === '') return { ...numbered, ...none, cells: new Map() };
    const located = text === undefined ? undefined : locatedIn(text);
    if (text === undefined || located === undefined)
      return { ...numbered, ...none, cells: new Map([[WHOLE_LINE, UNREADABLE]]) };
    const { members = new Map<string, JsonValue>() } = located;
    const textOf = (field: string): string | undefined => scalarOf(text, members.get(field));
    const id = (idField === undefined ? undefined : textOf(idField)) ?? numbered.id;
    const row = {
      ...numbered,
      id,
      json: { text, members },
      ...naming({ ...this.#options, fields: fields ?? [] }, textOf),
    };
    const values: readonly (readonly [string, JsonValue | undefined])[] =
      fields === undefined ? [[WHOLE_LINE, located]] : fields.map((field) => [field, members.get(field)]);
    const cells = values.flatMap(([field, value]) => {
      return value === undefined || isNull(text, value) ? [] : [[field, cellOf(text, value)] as const];
    });
    return { ...row, cells: new Map(cells) };
  }

  async #mustBeUnchanged(): Promise<void> {
    const { file } = this.#options;
    const { size, changedMs } = await statOf(file);
    if (size !== this.#source.size || changedMs !== this.#source.changedMs) throw changed(file);
  }
}

const UNREADABLE: ReadCell = { kind: 'unreadable' };

/** A replacement, with the white space and the line feed of the original line. */
function around(bytes: Buffer, replacement: string): string {
  const text = bytes.toString();
  const start = text.length - text.trimStart().length;
  return text.slice(0, start) + replacement + text.slice(text.trimEnd().length);
}

/** Locates the values of a line. Undefined if the line is not JSON, or if it is too large or nested too deeply. */
function locatedIn(text: string): JsonValue | undefined {
  try {
    JSON.parse(text);
    return locateValues(text);
  } catch {
    // Omit the reason, because the error of JSON.parse quotes the line.
    return undefined;
  }
}

function cellOf(text: string, value: JsonValue): Cell {
  const string = stringOf(text, value);
  return string === undefined
    ? { kind: 'json', text: text.slice(value.start, value.end) }
    : { kind: 'text', text: string };
}

/** The JSON text of a cell. Bytes are written in base64. */
function jsonOf(cell: Cell): string {
  switch (cell.kind) {
    case 'json':
      return cell.text;
    case 'text':
      return JSON.stringify(cell.text);
    case 'bytes':
    default:
      return JSON.stringify(Buffer.from(cell.bytes).toString('base64'));
  }
}

function scalarOf(text: string, value: JsonValue | undefined): string | undefined {
  return value && (stringOf(text, value) ?? exactInteger(text.slice(value.start, value.end)));
}

function isNull(text: string, { start, end }: JsonValue): boolean {
  return text.slice(start, end) === 'null';
}

/**
 * Names a new file that will be renamed to `output`. The name is different each time, so that two runs do not overwrite
 * each other's file, or a file of the operator.
 */
export function partialOf(output: string): string {
  return `${output}.${Date.now().toString(36)}-${Math.random().toString(36).slice(2, 8)}.partial`;
}

async function statOf(file: string): Promise<FileState> {
  const { size, mtimeMs } = await stat(file).catch(unreadable(file));
  return { size, changedMs: mtimeMs };
}

function unreadable(file: string): (error: NodeJS.ErrnoException) => never {
  return ({ code = 'unknown' }) => {
    throw new KeyfoldError('InvalidRequest', `The file ${file} cannot be read: ${code}.`);
  };
}

function changed(file: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `The file ${file} has changed since the run began. Begin again.`);
}
