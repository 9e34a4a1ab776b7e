/**
 * Adds up the results that the steps of .ci/run wrote to a folder. Exits 1 if anything failed, was skipped, or did not
 * run.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { stripVTControlCharacters } from 'node:util';

interface Report {
  readonly testResults: readonly {
    readonly assertionResults: readonly { status: string; fullName: string; failureMessages: readonly string[] }[];
  }[];
  readonly numPassedTests: number;
}

const [, , folder = '.'] = process.argv;
let passed = 0;
const failures: string[] = [];

const checks = readFileSync(join(folder, 'checks'), 'utf8').trim().split('\n');
passed += checks.filter((line) => line === 'passed').length;
failures.push(...checks.filter((line) => line !== 'passed'));

for (const suite of ['test', 'test:system', 'test:peers']) {
  const file = join(folder, `${suite}.json`);
  const report = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Report) : undefined;
  passed += report?.numPassedTests ?? 0;
  const results = report?.testResults.flatMap(({ assertionResults }) => assertionResults) ?? [];
  for (const { fullName, failureMessages } of results.filter(({ status }) => status === 'failed')) {
    failures.push(`failed ${fullName} of npm run ${suite}:\n${failureMessages.join('\n')}`);
  }
  for (const { fullName } of results.filter(({ status }) => status !== 'failed' && status !== 'passed')) {
    failures.push(`npm run ${suite} skipped the test ${fullName}`);
  }
  if (report === undefined || report.numPassedTests === 0) failures.push(`npm run ${suite} ran no test`);
}

// A suite can fail without a failed test, for example if a file does not load. Only the suite's log names that error.
const exits = existsSync(join(folder, 'exits')) ? readFileSync(join(folder, 'exits'), 'utf8').trim().split('\n') : [];
for (const suite of failures.length === 0 ? exits : []) {
  const log = stripVTControlCharacters(readFileSync(join(folder, `${suite}.log`), 'utf8'));
  const [, errors = log.slice(-4_000)] = /^(⎯+ Unhandled[^]*)/m.exec(log) ?? [];
  failures.push(`failed npm run ${suite}:\n${errors}`);
}

for (const failure of failures) console.log(failure);
console.log(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length > 0 ? 1 : 0;
