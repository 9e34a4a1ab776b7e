/** The examples of the pages for authors of plug-ins compile, and pass the contracts. */
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..', '..');
let folder: string;

beforeAll(async () => {
  // In the repository, because TypeScript and Node find their modules from there.
  await mkdir(join(root, '.keyfold'), { recursive: true });
  folder = await mkdtemp(join(root, '.keyfold', 'plug-ins-'));
});
afterAll(() => rm(folder, { recursive: true }));

/** Writes the examples of a page into files, by the names that follow the language of each block. */
async function write(page: string): Promise<string[]> {
  const text = await readFile(join(root, 'docs', 'how-to', page), 'utf8');
  const blocks = [...text.matchAll(/^```ts (\S+)\n(.*?)^```$/gms)];
  for (const [, name = '', code = ''] of blocks) {
    const imports = code
      .replaceAll("from 'keyfold'", `from '${join(root, 'src', 'index.ts')}'`)
      .replaceAll("from 'keyfold/testing'", `from '${join(root, 'src', 'testing', 'index.ts')}'`)
      .replaceAll("from 'keyfold/vault'", `from '${join(root, 'src', 'kms', 'vault', 'index.ts')}'`);
    await writeFile(join(folder, name), imports);
  }
  return blocks.map(([, name = '']) => name);
}

describe.each([
  ['write-a-kms-plug-in.md', 11],
  ['write-a-metastore.md', 16],
])('the example of docs/how-to/%s', (page, cases) => {
  it('compiles under the strict options of this repository, and passes every case of the contract', async () => {
    const names = await write(page);
    expect(names).toHaveLength(2);
    const config = { extends: join(root, 'tsconfig.json'), include: [], files: names };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    await run('npm', ['exec', '--', 'tsc', '-p', folder], { cwd: root });
    const file = join(folder, names.find((name) => name.endsWith('.test.ts')) ?? '');
    const { stdout } = await run(process.execPath, ['--no-warnings', '--test-reporter=tap', '--test', file]);
    expect(stdout).toMatch(new RegExp(`^# pass ${cases}$`, 'm'));
    expect(stdout).toMatch(/^# fail 0$/m);
  });
});
