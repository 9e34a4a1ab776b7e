/** Tests a second implementation of the proofs and their inputs, in Python, with the vectors of Keyfold's own tests. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { decodeDataRowRecord, encodeCompactRecord } from '../../src/index.ts';

const run = promisify(execFile);
const FOLDER = join(import.meta.dirname, '..', 'vectors');
const VECTORS = join(FOLDER, 'proofs.json');

/** Runs the checker on a file. @returns its output, and whether it succeeded */
async function checked(file: string): Promise<{ ok: boolean; stdout: string }> {
  return run('python3', [join(FOLDER, 'check_proofs.py'), file]).then(
    ({ stdout }) => ({ ok: true, stdout }),
    ({ stdout }: { stdout: string }) => ({ ok: false, stdout }),
  );
}

it('a program in Python computes every vector', async () => {
  const groups = Object.values(JSON.parse(await readFile(VECTORS, 'utf8')) as Record<string, unknown[]>);
  expect(groups.map(({ length }) => length > 0)).toEqual([true, true, true, true]);
  expect(await checked(VECTORS)).toEqual({ ok: true, stdout: `${groups.flat().length} vectors agree, 0 differ\n` });
});

/** Changes to the vectors. Each entry has the name of the change, the text to replace, and the replacement. */
const CHANGES = [
  ['a row ID', '"id": "42"', '"id": "43"'],
  ['a version', '"version": ""', '"version": "0"'],
  ['a form', '"form": "json"', '"form": "bytes"'],
  ['a path', '[*]', '[0]'],
  ['a kind of key', '"kind": "system"', '"kind": "intermediate"'],
  ['a step of a path', '"steps": [0, 10]', '"steps": ["0", 10]'],
  ['a value in a document', '"json": "12e2"', '"json": "12e3"'],
  ['a creation time', '"created": 1795446120', '"created": 1795446121'],
] as const;

it.for(CHANGES)('a program in Python finds a difference if %s changes in a vector', async ([, from, to]) => {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-vectors-'));
  try {
    const text = await readFile(VECTORS, 'utf8');
    expect(text).toContain(from);
    await writeFile(join(folder, 'changed.json'), text.replaceAll(from, to));
    const { ok, stdout } = await checked(join(folder, 'changed.json'));
    expect(ok).toBe(false);
    expect(stdout).toContain('DIFFERS: ');
  } finally {
    await rm(folder, { recursive: true });
  }
});

it.for(['bytes', 'json'] as const)(
  'the Python program in docs/reference/formats.md opens a %s record that is bound to a context',
  async (kind) => {
    const page = await readFile(join(FOLDER, '..', '..', 'docs', 'reference', 'formats.md'), 'utf8');
    const [, program = ''] = /```python\n(.*?)```/s.exec(page) ?? [];
    const parent = { id: '_IK_tenant-1_orders_shop', created: 1_795_446_180 };
    const key = { created: 1_795_446_181, encryptedKey: Buffer.alloc(60, 1), parent };
    const record = { key, proof: Buffer.alloc(32, 2), data: Buffer.alloc(33, 3) };
    const { stdout } = await run('python3', ['-c', program, encodeCompactRecord(record, kind) ?? '']);
    expect(decodeDataRowRecord(stdout)).toEqual(record);
  },
);
