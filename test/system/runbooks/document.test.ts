/** Checks that the metrics, alarms and tests named in docs/runbooks exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const folder = join(root, 'docs', 'runbooks');
const pages = readdirSync(folder).filter((name) => name !== 'README.md');
const read = (name: string): string => readFileSync(join(folder, name), 'utf8');
const all = ['README.md', ...pages].map(read).join('\n');
const list = read('README.md');

/** The strings in backticks. */
const quoted = [...all.matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text);

it('docs/runbooks/README.md names every runbook', () => {
  expect(pages.length).toBeGreaterThanOrEqual(8);
  for (const page of pages) expect(list).toContain(`](${page})`);
});

describe.for(pages)('%s', (page) => {
  it('has the four parts of a runbook', () => {
    for (const part of ['**You notice**', '**Meanwhile**', '**It is over when**', '**Lost**']) {
      expect(read(page)).toContain(part);
    }
  });
});

it('the runbooks name only metrics and alarms that docs/reference/metrics.md lists', () => {
  const metrics = readFileSync(join(root, 'docs', 'reference', 'metrics.md'), 'utf8');
  const named = quoted.filter((text) =>
    /^(?:Kms(?!Throttled|Misconfigured|Unavailable)|Metastore(?!Unavailable)|SystemKeys|StaleServes|RequestErrors|KeysRetired|WrapsRenewed|Messages|MaintenanceMissing)/.test(
      text,
    ),
  );
  expect(new Set(named).size).toBeGreaterThanOrEqual(10);
  for (const metric of named) expect(metrics).toContain(`\`${metric}\``);
});

it('each runbook names a test file, and every named test file exists', () => {
  const tests = quoted.filter((text) => text.startsWith('test/') && text.endsWith('.ts'));
  const walks = readdirSync(import.meta.dirname).filter((name) => /(?<!document)\.test\.ts$/.test(name));
  expect(tests).toEqual(expect.arrayContaining(walks.map((name) => `test/system/runbooks/${name}`)));
  for (const file of tests) expect(existsSync(join(root, file))).toBe(true);
});
