import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ROOT } from '../../support/documents.ts';

/** The options of each program. */
const PROGRAMS = {
  'bench/run.ts': ['--check', '--only SECTION', '--write', '--operations N'],
  'bench/soak/soak.ts': ['--minutes N', '--seconds N', '--seed N'],
  'bench/cold-start/main.ts': ['--rounds N', '--write'],
  'bench/fleet/main.ts': ['--quick', '--only ID', '--policy JSON'],
  'scripts/draw-prose.ts': ['--comments N', '--titles N', '--sentences N', '--seed N'],
  'scripts/package.ts': ['--zips'],
};

function run(...args: string[]): Promise<{ status: unknown; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, args, { cwd: ROOT }, (error, stdout, stderr) =>
      resolve({ status: error?.code ?? 0, stdout, stderr }),
    );
  });
}

describe.for(Object.entries(PROGRAMS))('%s', ([program, options]) => {
  it('prints its options with --help, and does nothing else', async () => {
    const { status, stdout, stderr } = await run(program, '--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const option of options) expect(stdout).toContain(`\n  ${option} `);
    expect(stdout.match(/^ {2}--/gm)).toHaveLength(options.length);
  });

  it('names an unknown option, and prints the known ones', async () => {
    const { status, stdout, stderr } = await run(program, '--nope');
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toMatch(/^Unknown option '--nope'/);
    expect(stderr).not.toContain('    at ');
    for (const option of options) expect(stderr).toContain(`\n  ${option} `);
  });
});

it('npm run deploy prints its options with --help, and does nothing else', async () => {
  const { status, stdout, stderr } = await run('deploy/main.ts', '--help');
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
  const { scripts } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as { scripts: object };
  const names = Object.keys(scripts).filter((name) => /^deploy\b/.test(name));
  const [, named = ''] = /^npm run (\S+) -- /.exec(stdout) ?? [];
  expect(named.split('|').toSorted()).toEqual(names.toSorted());
  expect(stdout.match(/^ {2}--\w+(?: [A-Z]+)?/gm)).toEqual(['  --yes', '  --region REGION']);
});
