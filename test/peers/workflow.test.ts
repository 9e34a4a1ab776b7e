import { execFile } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';
import { yamlParse } from 'yaml-cfn';
import { PEERS_FOLDER } from './peers-folder.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');
const GOBIN = join(PEERS_FOLDER, 'actionlint');

beforeAll(async () => {
  // Go caches what it has compiled, so no stamp file is needed.
  await run('go', ['install', 'github.com/rhysd/actionlint/cmd/actionlint@v1.7.7'], { env: { ...process.env, GOBIN } });
});

it('the workflow runs .ci/run, and actionlint reports no error in it', async () => {
  const file = join(root, '.github', 'workflows', 'ci.yml');
  expect(await run(join(GOBIN, 'actionlint'), ['-no-color', file])).toEqual({ stdout: '', stderr: '' });
  expect(await readFile(file, 'utf8')).toContain('run: bash .ci/run\n');
});

it('each issue form has a name, a description, and fields with unique IDs', async () => {
  const folder = join(root, '.github', 'ISSUE_TEMPLATE');
  const forms = (await readdir(folder)).filter((name) => name !== 'config.yml');
  expect(forms).toEqual(['bug.yml', 'idea.yml']);
  for (const form of forms) {
    const { name, description, body } = yamlParse(await readFile(join(folder, form), 'utf8')) as {
      readonly name: unknown;
      readonly description: unknown;
      readonly body: readonly { readonly type: string; readonly id?: string }[];
    };
    expect([typeof name, typeof description]).toEqual(['string', 'string']);
    const ids = body.filter(({ type }) => type !== 'markdown').map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    expect(ids).not.toContain(undefined);
  }
});
