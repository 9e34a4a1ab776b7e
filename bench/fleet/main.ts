/**
 * `npm run fleet`: compares, on a virtual clock, Keyfold's KMS failover policy with the policies of Asherah and the AWS
 * SDK. It writes the tables of docs/explanation/kms-failover.md and the plots in docs/images/kms-failover/. It exits
 * with 1 if Keyfold's policy is worse than another policy in any cell of a table, or if a documented figure does not
 * hold.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { runJobs, type Job } from './run-jobs.ts';
import { writeGeneratedBlock } from '../../scripts/generated-block.ts';
import { readOptions } from '../../scripts/read-options.ts';
import { figures } from './figures.ts';
import type { Passage } from './fleet.ts';
import { measure, meanOf, type Measures } from './measure.ts';
import { plot } from './plot.ts';
import { POLICIES, type OurChanges, type PolicyName } from './policies.ts';
import { score, tables, type Comparison } from './report.ts';
import { scenarios, type Scenario } from './scenarios.ts';

const QUICK_SCALE = 0.1;
const HELP = `npm run fleet -- [options]
Compares Keyfold's KMS failover policy with other policies, and writes the results into the documentation.
With any of these options, the program writes nothing:

  --quick        runs small fleets
  --only ID      runs one scenario
  --policy JSON  changes settings of Keyfold's policy`;

const values = readOptions(HELP, {
  quick: { type: 'boolean', default: false },
  policy: { type: 'string' },
  only: { type: 'string' },
});
const docs = join(import.meta.dirname, '..', '..', 'docs');
const scale = values.quick ? QUICK_SCALE : 1;
const changes = JSON.parse(values.policy ?? '{}') as OurChanges;

const all = scenarios(scale).filter(({ id }) => values.only === undefined || values.only === id);
const jobs = all.flatMap((scenario) =>
  POLICIES.flatMap((policy) =>
    Array.from({ length: scenario.runs }, (_, seed) => ({
      scenario,
      scenarioId: scenario.id,
      policy,
      seed,
      scale,
      changes,
    })),
  ),
);
const measured = new Map<Scenario, Record<PolicyName, Measures[]>>();
const plotted = new Map<Scenario, Partial<Record<PolicyName, Passage>>>();
await runJobs(jobs, keep);

function keep({ scenario, policy, seed }: Job & { scenario: Scenario }, outcome: Omit<Passage, 'scenario'>): void {
  const passage = { ...outcome, scenario };
  const ofScenario = measured.get(scenario) ?? { keyfold: [], asherah: [], sdk: [] };
  ofScenario[policy].push(measure(passage));
  measured.set(scenario, ofScenario);
  if (seed === 0) plotted.set(scenario, { ...plotted.get(scenario), [policy]: passage });
}

const comparisons = all.map((scenario): Comparison => {
  const of = (policy: PolicyName): Measures => meanOf(measured.get(scenario)?.[policy] ?? []);
  return { scenario, measures: { keyfold: of('keyfold'), asherah: of('asherah'), sdk: of('sdk') } };
});
const shown = await figures();
const text = tables(comparisons, shown);
console.log(text);

if (!values.quick && values.policy === undefined && values.only === undefined) {
  await writeGeneratedBlock(join(docs, 'explanation', 'kms-failover.md'), 'fleet', text);
  const plots = join(docs, 'images', 'kms-failover');
  mkdirSync(plots, { recursive: true });
  for (const [scenario, passages] of plotted) {
    writeFileSync(join(plots, `${scenario.id}.svg`), plot(passages as Record<PolicyName, Passage>));
  }
}

const { best, of } = score(comparisons);
const held = shown.filter(({ holds }) => holds).length;
console.log(`${held} of ${shown.length} figures hold`);
console.log(`best or equal on ${best} of ${of}`);
process.exitCode = best < of || held < shown.length ? 1 : 0;
