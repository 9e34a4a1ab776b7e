import type { Figure } from './figures.ts';
import type { Measures } from './measure.ts';
import { POLICIES, type PolicyName } from './policies.ts';
import type { Scenario } from './scenarios.ts';
import { CRITERIA, isBest, type Criterion } from './verdict.ts';

/** The measures of one scenario under every policy. */
export interface Comparison {
  readonly scenario: Scenario;
  readonly measures: Readonly<Record<PolicyName, Measures>>;
}

/** Counts the compared cells of the tables, and those cells in which no policy is better than Keyfold's. */
export function score(comparisons: readonly Comparison[]): { best: number; of: number } {
  const judged = CRITERIA.filter(({ shownOnly }) => shownOnly !== true);
  const cells = comparisons.flatMap(({ measures }) => judged.map((criterion) => isBest(criterion, measures)));
  return { best: cells.filter(Boolean).length, of: cells.length };
}

/** Makes the Markdown tables. They mark each cell in which another policy is better than Keyfold's. */
export function tables(comparisons: readonly Comparison[], figures: readonly Figure[]): string {
  const parts = comparisons.map(({ scenario, measures }) => {
    const head = ['policy', ...CRITERIA.map(({ title }) => title)];
    const rows = POLICIES.map((name) =>
      [name as string].concat(CRITERIA.map((criterion) => cell(criterion, name, measures))),
    );
    return `### ${scenario.id}: ${scenario.title}\n\n${table(head, rows)}\n\n![Calls and answers over time: ${scenario.title}](../images/kms-failover/${scenario.id}.svg)\n`;
  });
  const rows = figures.map(({ what, shown, holds }) => [what, shown, holds ? 'holds' : '**missed**']);
  return `${parts.join('\n')}\n### Promises\n\n${table(['promise', 'measured', 'verdict'], rows)}\n`;
}

function cell(criterion: Criterion, name: PolicyName, measures: Comparison['measures']): string {
  const text = criterion.text(measures[name][criterion.measure]);
  const beaten = name === 'keyfold' && criterion.shownOnly !== true && !isBest(criterion, measures);
  return beaten ? `**${text} (beaten)**` : text;
}

/** Makes a Markdown table as prettier formats it, with columns as wide as their widest cell. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    `| ${row.map((text, i) => text.padEnd(widths[i] ?? 0)).join(' | ')} |`;
  return [line(head), `| ${widths.map((w) => '-'.repeat(w)).join(' | ')} |`, ...rows.map(line)].join('\n');
}
