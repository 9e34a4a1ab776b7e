/**
 * `npm run bench`: ratios taken in one run, calls counted and memory measured, section by section, each in a process of its own.
 * `--check` exits 1 where a budget is missed; `--only SECTION` measures that one; `--write` writes docs/performance.md and its plots;
 * `--operations N` looks at the growth of memory over so many.
 */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { BUDGETS } from './budgets.ts';
import type { SectionResult } from './figures.ts';
import { SECTIONS, type SectionName } from './sections.ts';
import { judge, sectionText, type Verdict } from './verdict.ts';
import { writePerformance } from './write.ts';

const { values } = parseArgs({
  options: {
    check: { type: 'boolean', default: false },
    write: { type: 'boolean', default: false },
    only: { type: 'string', multiple: true },
    operations: { type: 'string' },
  },
});

const names = Object.keys(SECTIONS) as SectionName[];
const strange = values.only?.filter((name) => !(names as string[]).includes(name)) ?? [];
if (strange.length > 0) throw new Error(`there is no section ${strange.join(', ')}: one of ${names.join(', ')}`);
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

/** Runs a section in a child, whose standard output is the service's log and goes nowhere. */
async function measure(name: SectionName): Promise<SectionResult> {
  const child = fork(join(import.meta.dirname, 'section-worker.ts'), [name], {
    execArgv: ['--expose-gc'],
    env: { ...process.env, ...(values.operations !== undefined && { BENCH_OPERATIONS: values.operations }) },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const answered = once(child, 'message') as Promise<[SectionResult]>;
  const ended = once(child, 'exit').then(([code]) => {
    throw new Error(`the section ${name} ended with ${code} and no result`);
  });
  const [result] = await Promise.race([answered, ended]);
  return result;
}
