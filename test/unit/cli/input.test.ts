import { mkdtemp, open, rm, writeFile, type FileHandle } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { expect, it, vi } from 'vitest';
import { linesIn, linesOf as linesOfSource, sizeOf, textOf } from '../../../src/cli/input.ts';

async function linesOf(chunks: readonly string[], maxBytes: number): Promise<(string | undefined)[]> {
  const lines: (string | undefined)[] = [];
  const stream = Readable.from(chunks.map((chunk) => Buffer.from(chunk)));
  for await (const line of linesIn(stream, maxBytes)) lines.push(line);
  return lines;
}

it.for<[string, string[], (string | undefined)[]]>([
  ['arrives in one chunk', ['12345\n123456\n1\n'], ['12345', undefined, '1']],
  ['arrives in several chunks', ['123', '45\n1234', '5', '6\n', '1'], ['12345', undefined, '1']],
  ['follows a line of the maximum length in the same chunks', ['12345', '\n123456', '\n1'], ['12345', undefined, '1']],
  ['is the last line of the file', ['1\n', '12345', '67', '8'], ['1', undefined]],
  ['is next to an empty line', ['1234567\n\n1234567'], [undefined, '', undefined]],
])('linesIn returns undefined for an overlong line that %s', async ([, chunks, lines]) => {
  expect(await linesOf(chunks, 5)).toEqual(lines);
});

it.for([
  ['in one chunk', [[0xe9]]],
  ['in two chunks', [[0x61], [0xe9]]],
  ['a line feed cuts a character short', [[0xc3, 0x0a]]],
] as const)('linesIn returns undefined for a line that is not UTF-8 (%s)', async ([, chunks]) => {
  const lines: (string | undefined)[] = [];
  const stream = Readable.from([...chunks, [0x0a, 0x62]].map((bytes) => Buffer.from(bytes)));
  for await (const line of linesIn(stream)) lines.push(line);
  expect([lines[0], lines.at(-1)]).toEqual([undefined, 'b']);
});

it('textOf refuses a file or standard input that is not UTF-8', async () => {
  const stdin = Readable.from([Buffer.from([0x61, 0xe9])]);
  await expect(textOf('-', { stdin } as never)).rejects.toThrow('Standard input is not UTF-8.');
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-input-'));
  const file = join(folder, 'latin');
  await writeFile(file, Buffer.from([0x61, 0xe9]));
  await expect(textOf(file, {} as never)).rejects.toThrow(`The file ${file} is not UTF-8.`);
  await rm(folder, { recursive: true });
});

it('textOf refuses input that is too long, and reads no further', async () => {
  let chunks = 0;
  const stdin = (async function* () {
    for (; chunks < 1000; chunks += 1) yield Buffer.from('12345');
  })();
  await expect(textOf('-', { stdin } as never, 9)).rejects.toThrow('Standard input is longer than 9 bytes.');
  expect(chunks).toBe(1);
  const longest = { stdin: Readable.from([Buffer.from('123456789')]) };
  expect(await textOf('-', longest as never, 9)).toBe('123456789');
});

it('textOf joins the chunks of standard input in their order, even if a chunk ends within a character', async () => {
  const [first, second, third] = ['a\u20ac', 'b', 'c'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer];
  const stdin = Readable.from([first.subarray(0, 2), first.subarray(2), second, third]);
  expect(await textOf('-', { stdin } as never)).toBe('a\u20acbc');
});

it('linesIn returns undefined for a line that is too long, and does not buffer the line', async () => {
  const chunk = Buffer.alloc(1_000_000, 'a');
  let most = 0;
  const stream = (async function* () {
    for (let i = 0; i < 300; i += 1) {
      yield chunk;
      most = Math.max(most, process.memoryUsage().arrayBuffers);
    }
  })();
  const before = process.memoryUsage().arrayBuffers;
  for await (const line of linesIn(stream, 10_000_000)) expect(line).toBeUndefined();
  expect(most - before).toBeLessThan(100_000_000);
});

it('linesOf joins the parts of a line that does not fit into one read of the file', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-input-'));
  const file = join(folder, 'lines');
  const long = ['a', 'b', 'c', 'd', 'e'].map((letter) => letter.repeat(700_000));
  await writeFile(file, `${long.join('\n')}\n`);
  const lines: (string | undefined)[] = [];
  for await (const line of await linesOfSource(file, {} as never)) lines.push(line);
  expect(lines.map((line, i) => line === long[i])).toEqual(long.map(() => true));
  await rm(folder, { recursive: true });
});

it('sizeOf returns the size of a file, but undefined for a folder, a missing file and standard input', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-input-'));
  const file = join(folder, 'lines');
  await writeFile(file, 'a\u20ac\n');
  const sizes = await Promise.all([file, folder, join(folder, 'none'), '-'].map(sizeOf));
  expect(sizes).toEqual([5, undefined, undefined, undefined]);
  await rm(folder, { recursive: true });
});

it('linesOf closes the file after its last line', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-input-'));
  const file = join(folder, 'lines');
  await writeFile(file, 'a\nb\n');
  const handle = await open(file);
  await handle.close();
  const read = vi.spyOn(Object.getPrototypeOf(handle) as FileHandle, 'read');
  const lines: (string | undefined)[] = [];
  for await (const line of await linesOfSource(file, {} as never)) lines.push(line);
  expect(lines).toEqual(['a', 'b']);
  // The descriptor of a closed file is -1.
  expect(read.mock.contexts.map((used) => (used as FileHandle).fd)).toEqual([-1, -1]);
  read.mockRestore();
  await rm(folder, { recursive: true });
});
