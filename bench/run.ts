/** `npm run bench`: measures speed ratios, calls and memory. Each section runs in its own process. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { readOptions } from '../scripts/read-options.ts';
import { BUDGETS } from './budgets.ts';
import type { SectionResult } from './figures.ts';
import { SECTIONS, type SectionName } from './sections.ts';
import { judge, sectionText, type Verdict } from './verdict.ts';
import { writePerformance } from './write.ts';

const names = Object.keys(SECTIONS) as SectionName[];
const HELP = `npm run bench -- [options]
Measures speed and memory, as ratios to a peer that is measured in the same run. The sections are:
${names.join(', ')}.

  --check         exits with 1 if a figure misses its budget
  --only SECTION  measures only this section; can be repeated
  --write         writes docs/explanation/performance.md and its plots
  --operations N  the number of operations over which memory growth is measured`;

const values = readOptions(HELP, {
  check: { type: 'boolean', default: false },
  write: { type: 'boolean', default: false },
  only: { type: 'string', multiple: true },
  operations: { type: 'string' },
});
const strange = values.only?.filter((name) => !(names as string[]).includes(name)) ?? [];
if (strange.length > 0) throw new Error(`unknown section ${strange.join(', ')}; the sections are ${names.join(', ')}`);
const wanted = names.filter((name) => values.only?.includes(name) ?? true);

const results: Partial<Record<SectionName, SectionResult>> = {};
const verdicts: Verdict[] = [];
for (const name of wanted) {
  const result = await measure(name);
  results[name] = result;
  const judged = judge(BUDGETS[name], result.figures);
  verdicts.push(...judged);
  console.log(sectionText(name, result, judged));
}
if (values.write) await writePerformance(results);
const held = verdicts.filter(({ holds }) => holds).length;
console.log(`${held} of ${verdicts.length} budgets hold`);
if (values.check && held < verdicts.length) process.exitCode = 1;

/** Runs a section in a child process. Its standard output is discarded, because it contains only the service's log. */
async function measure(name: SectionName): Promise<SectionResult> {
  const child = fork(join(import.meta.dirname, 'section-worker.ts'), [name], {
    execArgv: ['--expose-gc'],
    env: { ...process.env, ...(values.operations !== undefined && { BENCH_OPERATIONS: values.operations }) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const answered = once(child, 'message') as Promise<[SectionResult]>;
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the section ${name} exited with code ${code} before it sent a result`);
  });
  const [result] = await Promise.race([answered, ended]);
  return result;
}
