/** Checks that the metrics and tests that docs/runbooks.md names exist. */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const read = (name: string): string => readFileSync(join(root, 'docs', name), 'utf8');
const runbooks = read('runbooks.md');

/** The texts in backquotes. */
const quoted = [...runbooks.matchAll(/`([^`\n]+)`/g)].map(([, text = '']) => text);

it('docs/runbooks.md names only metrics of docs/metrics.md', () => {
  const named = quoted.filter((text) =>
    /^(?:Kms(?!Throttled|Misconfigured|Unavailable)|Metastore(?!Unavailable)|SystemKeys|StaleServes|RequestErrors|KeysRetired|WrapsRenewed)/.test(
      text,
    ),
  );
  expect(new Set(named).size).toBeGreaterThanOrEqual(10);
  for (const metric of named) expect(read('metrics.md')).toContain(`\`${metric}\``);
});

it('docs/runbooks.md names the test of each runbook, and no test that is missing', () => {
  const tests = quoted.filter((text) => text.startsWith('test/') && text.endsWith('.ts'));
  const walks = readdirSync(import.meta.dirname).filter((name) => /(?<!document)\.test\.ts$/.test(name));
  expect(tests).toEqual(expect.arrayContaining(walks.map((name) => `test/system/runbooks/${name}`)));
  for (const file of tests) expect(existsSync(join(root, file))).toBe(true);
});
