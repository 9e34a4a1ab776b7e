import { once } from 'node:events';
import {
  appendFile,
  mkdir,
  mkdtemp,
  open,
  readdir,
  readFile,
  rm,
  stat,
  truncate,
  utimes,
  writeFile,
  type FileHandle,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { KeyfoldError } from '../../../src/errors.ts';
import type { Position } from '../../../src/maintenance/reencryption/rows.ts';
import { JsonLinesRows } from '../../../src/rows/json-lines.ts';
import { errorOf } from '../../support/fakes.ts';

const NAMES = { partitionField: undefined, partition: undefined, context: undefined, contextFrom: undefined };

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-lines-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

function openRows(fields?: readonly string[], maxLineBytes?: number): JsonLinesRows {
  const [file, output] = [join(folder, 'in'), join(folder, 'out')];
  return new JsonLinesRows({ ...NAMES, file, output, fields, idField: undefined }, maxLineBytes);
}

/** Sets the member `r` of each line of a file to a string. Returns the new file, and the IDs of its rows. */
async function replaced(text: string): Promise<{ readonly text: string; readonly ids: readonly string[] }> {
  const [file, output] = [join(folder, 'in'), join(folder, 'out')];
  await writeFile(file, text);
  const rows = openRows(['r']);
  const ids: string[] = [];
  for await (const page of rows.pages(undefined)) {
    for (const row of page) {
      ids.push(row.id);
      if (row.cells.has('r')) await rows.replace(row, new Map([['r', { kind: 'text', text: 'new' }]]));
    }
  }
  const written = await readFile(output, 'utf8');
  await rm(output);
  return { text: written, ids };
}

/**
 * Replaces the records in the first `pages` pages of the file, by default in all. Then this function stops reading, as
 * a run stops after an error.
 * @returns the position after the last of these pages, if `isSaved` is set
 */
async function work(
  from: Position | undefined,
  { pages = Infinity, isSaved = false } = {},
): Promise<Position | undefined> {
  const rows = openRows(['r']);
  let count = 0;
  for await (const page of rows.pages(from)) {
    for (const row of page) await rows.replace(row, new Map([['r', { kind: 'text', text: 'new' }]]));
    count += 1;
    if (count === pages) return isSaved ? await rows.position() : undefined;
  }
  return undefined;
}

/** A line that is longer than a chunk of the file. */
function long(name: string): string {
  return `{"r":"old","pad":"${name.repeat(300_000)}"}\n`;
}

describe('JsonLinesRows', () => {
  it.for([
    ['a line feed after the last line', '{"r":"old"}\n', '{"r":"new"}\n'],
    ['a last line without a line feed', '{"r":"old"}', '{"r":"new"}'],
    ['the carriage returns before line feeds', '{"r":"old"}\r\n{"r":"old"}\r\n', '{"r":"new"}\r\n{"r":"new"}\r\n'],
    ['a byte order mark, white space and an empty line', '\ufeff \t{"r":"old"} \n\n', '\ufeff \t{"r":"new"} \n\n'],
    ['an empty first line', '\n{"r":"old"}\n{"r":"old"}\n', '\n{"r":"new"}\n{"r":"new"}\n'],
  ] as const)('keeps %s', async ([, before, after]) => {
    expect((await replaced(before)).text).toBe(after);
  });

  it.for([
    ['a complete line', `{}\n"${'x'.repeat(400_000)}"\n{}\n`],
    ['a line that is shorter than a chunk', `{}\n"${'x'.repeat(100_100)}"\n`],
    ['a line without an end', `{}\n"${'x'.repeat(400_000)}`],
  ] as const)('throws an error with the line number if %s exceeds the limit', async ([, text]) => {
    await writeFile(join(folder, 'in'), text);
    const pages = openRows(undefined, 100_000).pages(undefined);
    const run = (async () => {
      for await (const page of pages) expect(page.length).toBeLessThanOrEqual(1);
    })();
    await expect(run).rejects.toMatchObject({
      code: 'InvalidRequest',
      message: `Line 2 of the file ${join(folder, 'in')} is longer than 100000 bytes.`,
    });
    expect(await readdir(folder)).toEqual(['in']);
  });

  it('reads lines of exactly the maximum length', async () => {
    const line = `"${'x'.repeat(299_998)}"`;
    await writeFile(join(folder, 'in'), `${line}\n${line}\n${line}`);
    const ids: string[] = [];
    for await (const page of openRows(undefined, 300_000).pages(undefined)) ids.push(...page.map(({ id }) => id));
    expect(ids).toEqual(['line 1', 'line 2', 'line 3']);
  });

  it('reads lines that are longer than a chunk', async () => {
    const { text, ids } = await replaced(`${long('a')}{"r":"old"}\n${long('b')}${long('c')}`);
    expect(ids).toEqual(['line 1', 'line 2', 'line 3', 'line 4']);
    expect(text).toBe(`${long('a')}{"r":"old"}\n${long('b')}${long('c')}`.replaceAll('old', 'new'));
  });

  it('can continue twice from the same position if no later position was saved', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const saved = await work(undefined, { pages: 1, isSaved: true });
    const partials = (await readdir(folder)).filter((name) => name.endsWith('.partial'));
    // This run stops after its first page.
    await work(saved, { pages: 1 });
    expect((await readdir(folder)).toSorted()).toEqual(['in', ...partials]);
    // This run stops after it has made a position that no caller saves.
    await work(saved, { pages: 1, isSaved: true });
    await work(saved);
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('{"r":"new"}\n'.repeat(5000));
    expect(await readdir(folder)).not.toContain(partials[0]);
  });

  it('continues a dry run from a position, and writes no output', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const dry = () =>
      new JsonLinesRows({ ...NAMES, file: join(folder, 'in'), output: undefined, fields: ['r'], idField: undefined });
    const rows = dry();
    const pages = rows.pages(undefined);
    await pages.next();
    const position = await rows.position();
    await pages.return(undefined);
    const ids: string[] = [];
    for await (const page of dry().pages(position)) ids.push(...page.map(({ id }) => id));
    expect(position).toMatchObject({ line: 1024, partial: undefined });
    expect([ids.length, ids[0], ids.at(-1)]).toEqual([5000 - 1024, 'line 1025', 'line 5000']);
    expect(await readdir(folder)).toEqual(['in']);
  });

  it('writes each line once, even if the caller asks for the position twice after each page', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const rows = openRows(['r']);
    const lines: unknown[] = [];
    for await (const page of rows.pages(undefined)) {
      for (const row of page) await rows.replace(row, new Map([['r', { kind: 'text', text: 'new' }]]));
      for (let i = 0; i < 2; i += 1) lines.push((await rows.position())['line']);
    }
    expect(lines).toEqual([1024, 1024, 2048, 2048, 3072, 3072, 4096, 4096, 5000, 5000]);
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('{"r":"new"}\n'.repeat(5000));
  });

  it('drops the output that an earlier run wrote after its last saved position', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const saved = await work(undefined, { pages: 1, isSaved: true });
    await appendFile(String(saved?.['partial']), '{"r":"ne');
    await work(saved);
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('{"r":"new"}\n'.repeat(5000));
  });

  it('writes no output if the file changes while it is read', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const pages = openRows(['r']).pages(undefined);
    await pages.next();
    await writeFile(join(folder, 'in'), '{"r":"own"}\n'.repeat(6000));
    const rest = async (remaining: typeof pages): Promise<void> => {
      for await (const page of remaining) expect(page.length).toBeGreaterThan(0);
    };
    const changed = {
      code: 'InvalidRequest',
      message: `The file ${join(folder, 'in')} has changed since the run began. Begin again.`,
    };
    await expect(rest(pages)).rejects.toMatchObject(changed);
    expect(await readdir(folder)).toEqual(['in']);
    // The file has the same size now, but another time of its last change.
    const again = openRows(['r']).pages(undefined);
    await again.next();
    await utimes(join(folder, 'in'), 1, 1);
    await expect(rest(again)).rejects.toMatchObject(changed);
    // The file has the same time of its last change now, but another size.
    const longer = openRows(['r']).pages(undefined);
    await longer.next();
    await appendFile(join(folder, 'in'), '\n');
    await utimes(join(folder, 'in'), 1, 1);
    await expect(rest(longer)).rejects.toMatchObject(changed);
  });

  it('removes the partial output of an earlier run once a later position is saved', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const saved = await work(undefined, { pages: 1, isSaved: true });
    const partial = (await readdir(folder)).find((name) => name.endsWith('.partial'));
    const rows = openRows(['r']);
    const pages = rows.pages(saved);
    await pages.next();
    const later = await rows.position();
    expect(await readdir(folder)).toContain(partial);
    await pages.next();
    expect(await readdir(folder)).not.toContain(partial);
    await pages.return(undefined);
    await work(later);
    expect(await readdir(folder)).toEqual(['in', 'out']);
  });

  it('leaves no output behind if the source cannot be opened or read', async () => {
    const server = createServer().listen(join(folder, 'in'));
    await once(server, 'listening');
    const refusal = (code: string): object => ({
      code: 'InvalidRequest',
      message: `The file ${join(folder, 'in')} cannot be read: ${code}.`,
    });
    await expect(work(undefined)).rejects.toMatchObject(
      refusal(process.platform === 'darwin' ? 'EOPNOTSUPP' : 'ENXIO'),
    );
    expect(await readdir(folder)).toEqual(['in']);
    await promisify(server.close.bind(server))();
    await expect(work(undefined)).rejects.toMatchObject(refusal('ENOENT'));
    await mkdir(join(folder, 'in'));
    await expect(work(undefined)).rejects.toMatchObject(refusal('EISDIR'));
    expect(await readdir(folder)).toEqual(['in']);
  });

  it('throws an error that names the output file if the file cannot be opened, in a new or a continued run', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const saved = await work(undefined, { pages: 1, isSaved: true });
    const [file, output] = [join(folder, 'in'), join(folder, 'none', 'out')];
    for (const from of [undefined, saved]) {
      const rows = new JsonLinesRows({ ...NAMES, file, output, fields: ['r'], idField: undefined });
      const error = (await errorOf(rows.pages(from).next())) as KeyfoldError;
      // A run that begins tells the operator to correct the option. A run that goes on fails.
      expect([error.code, error.message]).toEqual([
        from === undefined ? 'InvalidRequest' : undefined,
        `The file ${output} cannot be written: ENOENT.`,
      ]);
    }
  });

  it.for(['appendFile', 'sync', 'datasync'] as const)('names the output file if %s fails', async (method) => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n');
    const handle = await open(join(folder, 'in'));
    const prototype = Object.getPrototypeOf(handle) as FileHandle;
    await handle.close();
    for (const [code, error] of [
      ['ENOSPC', Object.assign(new Error('no space'), { code: 'ENOSPC' })],
      ['unknown', new Error('no code')],
    ] as const) {
      vi.spyOn(prototype, method).mockRejectedValueOnce(error);
      await expect(work(undefined, method === 'datasync' ? { pages: 1, isSaved: true } : {})).rejects.toThrow(
        new Error(`The file ${join(folder, 'out')} cannot be written: ${code}.`),
      );
      expect(await readdir(folder)).toEqual(['in']);
    }
  });

  it('refuses a position past the end of the file that the position names', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const saved = await work(undefined, { pages: 1, isSaved: true });
    await truncate(String(saved?.['partial']), 5);
    await expect(work(saved)).rejects.toMatchObject({
      code: 'InvalidRequest',
      message: `The file ${String(saved?.['partial'])} is shorter than the checkpoint says. Begin again.`,
    });
    const partial = String(saved?.['partial']).slice(folder.length + 1);
    expect((await readdir(folder)).toSorted()).toEqual(['in', partial]);
  });

  it('refuses to continue if the partial output of the earlier run is gone, because that run may have ended', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n'.repeat(5000));
    const saved = await work(undefined, { pages: 1, isSaved: true });
    await work(saved);
    await expect(work(saved)).rejects.toMatchObject({
      code: 'InvalidRequest',
      message:
        `The checkpoint names the file ${String(saved?.['partial'])}, which cannot be read. ` +
        `If the file ${join(folder, 'out')} exists, a run has completed it: delete the checkpoint.`,
    });
    expect(await readdir(folder)).toEqual(['in', 'out']);
  });

  it('refuses an output file that exists, and leaves that file unchanged', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n');
    await writeFile(join(folder, 'out'), 'precious');
    await expect(work(undefined)).rejects.toMatchObject({
      code: 'InvalidRequest',
      message: `The file ${join(folder, 'out')} already exists.`,
    });
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('precious');
    expect((await readdir(folder)).toSorted()).toEqual(['in', 'out']);
  });

  it.for([
    ['sync', 'before it gives the output file the final name'],
    ['datasync', 'before it returns a position'],
  ] as const)('calls %s %s, so that a power cut loses no line', async ([method]) => {
    const input = join(folder, 'in');
    await writeFile(input, '{"r":"old"}\n');
    const handle = await open(input);
    const flushed: string[][] = [];
    vi.spyOn(Object.getPrototypeOf(handle) as FileHandle, method).mockImplementation(async () => {
      flushed.push(
        await Promise.all((await readdir(folder)).map(async (name) => readFile(join(folder, name), 'utf8'))),
      );
    });
    await handle.close();
    const saved = await work(undefined, method === 'sync' ? {} : { pages: 1, isSaved: true });
    expect(flushed.map((texts) => texts.toSorted())).toEqual([['{"r":"new"}\n', '{"r":"old"}\n']]);
    expect(saved === undefined).toBe(method === 'sync');
    expect((await readdir(folder)).includes('out')).toBe(method === 'sync');
  });

  it.for([
    ['ends', {}],
    ['stops early', { pages: 2 }],
  ] as const)('closes both files if the run %s', async ([, until]) => {
    const input = join(folder, 'in');
    await writeFile(input, '{"r":"old"}\n'.repeat(5000));
    const handle = await open(input);
    await handle.close();
    const used = new Set<FileHandle>();
    const prototype = Object.getPrototypeOf(handle) as FileHandle;
    for (const method of ['read', 'appendFile'] as const) {
      const real = prototype[method] as (...args: unknown[]) => never;
      vi.spyOn(prototype, method).mockImplementation(function (this: FileHandle, ...args: unknown[]) {
        used.add(this);
        return Reflect.apply(real, this, args);
      });
    }
    await work(undefined, until);
    expect(used.size).toBe(2);
    // Both files must be closed. The descriptor of a closed file is -1.
    for (const { fd } of used) expect(fd).toBe(-1);
  });

  it('returns the same line if a caller reads the line again', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n');
    const rows = openRows(['r']);
    const lines: unknown[] = [];
    for await (const page of rows.pages(undefined)) {
      for (const line of page) lines.push([await rows.reread(line), line]);
    }
    expect(lines).toHaveLength(1);
    for (const [again, line] of lines as [unknown, unknown][]) expect(again).toBe(line);
  });

  it('replaces several members of a line, in whatever order they are given', async () => {
    await writeFile(join(folder, 'in'), '{"a":"1","between":true,"b":"22"}\n');
    const rows = openRows(['b', 'a']);
    for await (const [row] of rows.pages(undefined)) {
      const cells = new Map([
        ['b', { kind: 'text', text: 'second' }],
        ['a', { kind: 'text', text: 'first' }],
      ] as const);
      if (row !== undefined) await rows.replace(row, cells);
    }
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('{"a":"first","between":true,"b":"second"}\n');
  });

  it('writes bytes in base64', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n');
    const rows = openRows(['r']);
    for await (const [row] of rows.pages(undefined)) {
      if (row !== undefined) await rows.replace(row, new Map([['r', { kind: 'bytes', bytes: Buffer.from([255]) }]]));
    }
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe('{"r":"/w=="}\n');
  });

  it('reads the ID, the partition, the context and the cells of each line', async () => {
    await writeFile(
      join(folder, 'in'),
      Buffer.concat([
        Buffer.from('{"id":7,"p":"t","c":5,"r":"\\u0061","s":{ "b": [1.50] }}\n'),
        Buffer.from('{"id":"x","p":null,"c":true,"r":null,"other":1}\n{"id":{},"s":1}\n \n{"r":1,}\n'),
        Buffer.from([0x22, 0xff, 0x22, 0x0a]),
        Buffer.from(`${'['.repeat(2000)}${']'.repeat(2000)}\n[]\n`),
      ]),
    );
    const [file, output] = [join(folder, 'in'), undefined];
    const names = { partitionField: 'p', partition: undefined, context: { a: 'b' }, contextFrom: { k: 'c' } };
    const rows = new JsonLinesRows({ ...names, file, output, fields: ['r', 's'], idField: 'id' });
    const read: unknown[] = [];
    for await (const page of rows.pages(undefined))
      for (const { id, partition, context, cells } of page)
        read.push([id, partition, context, Object.fromEntries(cells)]);
    const none = { a: 'b', k: undefined };
    const unreadable = { '': { kind: 'unreadable' } };
    expect(read).toEqual([
      ['7', 't', { a: 'b', k: '5' }, { r: { kind: 'text', text: 'a' }, s: { kind: 'json', text: '{ "b": [1.50] }' } }],
      ['x', '', none, {}],
      ['line 3', '', none, { s: { kind: 'json', text: '1' } }],
      ['line 4', undefined, undefined, {}],
      ...[5, 6, 7].map((line) => [`line ${line}`, undefined, undefined, unreadable]),
      ['line 8', '', none, {}],
    ]);
    expect(await readdir(folder)).toEqual(['in']);
  });

  it('reads a whole line as a record', async () => {
    await writeFile(join(folder, 'in'), ' {"Data": "x"} \n "kf1.a"\n5\n[1] \n');
    const read: unknown[] = [];
    for await (const page of openRows().pages(undefined)) read.push(...page.map(({ cells }) => Array.from(cells)));
    expect(read).toEqual([
      [['', { kind: 'json', text: '{"Data": "x"}' }]],
      [['', { kind: 'text', text: 'kf1.a' }]],
      [['', { kind: 'json', text: '5' }]],
      [['', { kind: 'json', text: '[1]' }]],
    ]);
  });

  it('replaces a whole line with a text, with JSON or with bytes', async () => {
    await writeFile(join(folder, 'in'), ' "a" \n{"b":1}\n"c"\n');
    const rows = openRows();
    const cells = [
      { kind: 'text', text: 'x"y' },
      { kind: 'json', text: '{"n":1.50}' },
      { kind: 'bytes', bytes: Buffer.from([255]) },
    ] as const;
    for await (const page of rows.pages(undefined)) {
      for (const [i, row] of page.entries())
        expect(await rows.replace(row, new Map([['', cells[i] as (typeof cells)[0]]]))).toBe('written');
    }
    expect(await readFile(join(folder, 'out'), 'utf8')).toBe(' "x\\"y" \n{"n":1.50}\n"/w=="\n');
  });

  it('returns the position, and names the file that holds the result so far', async () => {
    await writeFile(join(folder, 'in'), '{"r":"old"}\n{"r":"longer"}\n');
    await utimes(join(folder, 'in'), 1, 2);
    const saved = await work(undefined, { pages: 1, isSaved: true });
    expect(saved).toEqual({ input: 27, output: 24, line: 2, size: 27, changedMs: 2000, partial: saved?.['partial'] });
    const out = join(folder, 'out');
    expect(String(saved?.['partial'])).toMatch(new RegExp(`^${out}\\.[0-9a-z]+-[0-9a-z]{1,6}\\.partial$`));
    expect((await stat(String(saved?.['partial']))).mode & 0o777).toBe(0o600);
  });

  it('refuses a position if the size or the time of the file has changed since the position was saved', async () => {
    const file = join(folder, 'in');
    await writeFile(file, '{"r":"old"}\n');
    await utimes(file, 1, 2);
    const saved = await work(undefined, { pages: 1, isSaved: true });
    const message = `The file ${file} has changed since the run began. Begin again.`;
    await utimes(file, 1, 3);
    await expect(work(saved)).rejects.toMatchObject({ code: 'InvalidRequest', message });
    await writeFile(file, '{"r":"older"}\n');
    await utimes(file, 1, 2);
    await expect(work(saved)).rejects.toMatchObject({ code: 'InvalidRequest', message });
  });

  it('finds no value in a line that contains only null', async () => {
    await writeFile(join(folder, 'in'), 'null\n"null"\n');
    const sizes: number[] = [];
    for await (const page of openRows().pages(undefined)) sizes.push(...page.map(({ cells }) => cells.size));
    expect(sizes).toEqual([0, 1]);
  });

  it('copies at most about twice as many bytes for a line that is twice as long', async () => {
    const concat = vi.spyOn(Buffer, 'concat');
    const copied = async (characters: number): Promise<number> => {
      concat.mockClear();
      await replaced(`{"r":"${'x'.repeat(characters)}"}\n`);
      return concat.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
    };
    const single = await copied(4_000_000);
    expect(await copied(8_000_000)).toBeLessThan(2.2 * single);
  });
});

it('JsonLinesRows estimates the number of lines from the average length of the lines that it has read so far', async () => {
  await writeFile(join(folder, 'in'), '{"r":"x"}\n'.repeat(5000));
  const rows = openRows(['r']);
  const sizes: (number | undefined)[] = [];
  for await (const page of rows.pages(undefined)) sizes.push(page.length > 0 ? rows.size() : undefined);
  expect(sizes).toEqual([undefined, 5000, 5000, 5000, 5000]);
});
