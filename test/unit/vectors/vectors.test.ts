import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const asherahGo = join(import.meta.dirname, 'asherah-go.json');
let folder: string;

interface VectorFile {
  groups: { metastore_rows: object[]; cases: Record<string, unknown>[] }[];
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
});
afterAll(() => rm(folder, { recursive: true }));

async function run(...files: string[]): Promise<{ exitCode: number; output: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, ['scripts/vectors.ts', ...files], { cwd: root }, (error, stdout) => {
      resolve({ exitCode: Number(error?.code ?? 0), output: stdout });
    });
  });
}

/**
 * Writes a file with a single case: a changed copy of a case from the first group of Asherah's vectors. Returns the
 * path of the file.
 */
async function withOneCase(
  change: (vector: Record<string, unknown>, group: VectorFile['groups'][number]) => void,
): Promise<string> {
  const { groups } = JSON.parse(await readFile(asherahGo, 'utf8')) as VectorFile;
  const [group] = groups;
  const vector = group?.cases[2];
  if (group === undefined || vector === undefined) throw new Error('the vectors have changed');
  change(vector, group);
  const path = join(folder, `${Math.random()}.json`);
  await writeFile(path, JSON.stringify({ groups: [{ ...group, cases: [vector] }] }));
  return path;
}

/**
 * Writes the changed case with the tag `go-lenient`, because Asherah Go opens it although its record is not canonical.
 */
function lenient(change: (drr: { Key: { ParentKeyMeta: { KeyId: string } }; Data: string }) => void): Promise<string> {
  return withOneCase((vector) => {
    vector['tags'] = ['go-lenient'];
    change(vector['drr'] as never);
  });
}

describe('the vectors runner', () => {
  it('accepts all vectors that Asherah Go produced', async () => {
    expect(await run(asherahGo)).toEqual({ exitCode: 0, output: '25 passed, 0 failed, 0 skipped\n' });
  });

  it('reports a wrong plaintext, an unexpected refusal and an unexpected success', async () => {
    const wrong = await withOneCase((vector) => (vector['plaintext_base64'] = 'AAAA'));
    const refused = await withOneCase((vector) => (vector['drr'] = {}));
    const opened = await withOneCase((vector) => (vector['expect'] = 'error'));
    const { exitCode, output } = await run(wrong, refused, opened);
    expect(exitCode).toBe(1);
    expect(output).toContain('FAILED sizes: 15 bytes: opened to another plaintext');
    expect(output).toContain('FAILED sizes: 15 bytes: refused: InvalidRequest');
    expect(output).toContain('FAILED sizes: 15 bytes: opened, and should have been refused');
    expect(output).toMatch(/0 passed, 3 failed, 0 skipped\n$/);
  });

  it('skips a case that only Asherah Go accepts, unless the format requires a refusal of the case', async () => {
    const prefixed = await lenient((drr) => (drr.Key.ParentKeyMeta.KeyId += '_b'));
    const unpadded = await lenient((drr) => (drr.Data = `${drr.Data}\n`));
    const sound = await lenient(() => {});
    expect(await run(prefixed, unpadded, sound)).toEqual({ exitCode: 0, output: '2 passed, 0 failed, 1 skipped\n' });
  });

  it('reports an invalid master key, even if the case expects an error', async () => {
    const broken = await withOneCase((vector, group) => {
      Object.assign(group, { static_master_key: 'short' });
      vector['expect'] = 'error';
    });
    expect((await run(broken)).output).toMatch(/broke: .*\n(?:.*\n)?0 passed, 1 failed, 0 skipped\n$/);
  });

  it('a case that expects an error passes if a malformed key row of that case causes the error', async () => {
    const broken = await withOneCase((vector, group) => {
      group.metastore_rows = group.metastore_rows.map((row) => ({ ...row, KeyRecord: { S: 'x' } }));
      vector['expect'] = 'error';
    });
    expect(await run(broken)).toEqual({ exitCode: 0, output: '1 passed, 0 failed, 0 skipped\n' });
  });

  it('reports an unreadable file or a missing argument', async () => {
    const path = join(folder, 'no.json');
    await writeFile(path, '{"groups":[{}]}');
    const { exitCode, output } = await run(path, join(folder, 'absent.json'));
    expect(exitCode).toBe(1);
    expect(output).toMatch(/FAILED .*\nFAILED .*\n0 passed, 2 failed, 0 skipped\n$/);
    expect((await run()).exitCode).toBe(1);
  });
});
