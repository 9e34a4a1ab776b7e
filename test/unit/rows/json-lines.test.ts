import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { JsonLinesRows } from '../../../src/rows/json-lines.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-lines-'));
});
afterEach(async () => {
  vi.restoreAllMocks();
  await rm(folder, { recursive: true });
});

/** Replaces the member `r` in each line of a file with a text. Returns the new file, and the IDs of its rows. */
async function replaced(text: string): Promise<{ readonly text: string; readonly ids: readonly string[] }> {
  const [file, output] = [join(folder, 'in'), join(folder, 'out')];
  await writeFile(file, text);
  const names = { partitionField: undefined, partition: undefined, context: undefined, contextFrom: undefined };
  const rows = new JsonLinesRows({ ...names, file, output, fields: ['r'], idField: undefined });
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

/** A line that is longer than a chunk of the file. */
function long(name: string): string {
  return `{"r":"old","pad":"${name.repeat(300_000)}"}\n`;
}

describe('JsonLinesRows', () => {
  it.for([
    ['{"r":"old"}\n', '{"r":"new"}\n'],
    ['{"r":"old"}', '{"r":"new"}'],
    ['{"r":"old"}\r\n{"r":"old"}\r\n', '{"r":"new"}\r\n{"r":"new"}\r\n'],
    ['\ufeff \t{"r":"old"} \n\n', '\ufeff \t{"r":"new"} \n\n'],
  ] as const)('keeps the white space and line feeds around %j', async ([before, after]) => {
    expect((await replaced(before)).text).toBe(after);
  });

  it('reads lines that are longer than a chunk', async () => {
    const { text, ids } = await replaced(`${long('a')}{"r":"old"}\n${long('b')}${long('c')}`);
    expect(ids).toEqual(['line 1', 'line 2', 'line 3', 'line 4']);
    expect(text).toBe(`${long('a')}{"r":"old"}\n${long('b')}${long('c')}`.replaceAll('old', 'new'));
  });

  it('copies at most about twice as many bytes for a line that is twice as long', async () => {
    const concat = vi.spyOn(Buffer, 'concat');
    const copied = async (characters: number): Promise<number> => {
      concat.mockClear();
      await replaced(`{"r":"${'x'.repeat(characters)}"}\n`);
      return concat.mock.results.reduce((sum, { value }) => sum + (value as Buffer).length, 0);
    };
    const once = await copied(4_000_000);
    expect(await copied(8_000_000)).toBeLessThan(2.2 * once);
  });
});
