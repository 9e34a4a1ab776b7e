import type { Budget } from './budgets.ts';
import type { Figure, SectionResult } from './figures.ts';

/** The result of checking one budget. */
export interface Verdict {
  readonly name: string;
  readonly budget: Budget;
  readonly holds: boolean;
}

/** Checks the figures of a section against its budgets. A budget counts as missed if it has no figure. */
export function judge(budgets: Readonly<Record<string, Budget>>, figures: readonly Figure[]): Verdict[] {
  const byName = new Map(figures.map((figure) => [figure.name, figure.value]));
  return Object.entries(budgets).map(([name, budget]) => ({ name, budget, holds: isWithin(budget, byName.get(name)) }));
}

/** Describes a budget in words. */
export function budgetText(budget: Budget): string {
  if ('exactly' in budget) return budget.exactly;
  return 'atLeast' in budget ? `≥ ${budget.atLeast}` : `≤ ${budget.atMost}`;
}

/** Formats a figure, with its quartiles if it has any. */
export function figureText({ value, lower, upper, unit }: Figure): string {
  if (typeof value === 'string') return value;
  const spread = lower === undefined || upper === undefined ? '' : ` (${short(lower)} to ${short(upper)})`;
  return `${short(value)}${unit === '×' ? '' : ' '}${unit}${spread}`;
}

/** Formats a number with three significant digits. */
export function short(value: number): string {
  const digits = Math.abs(value) >= 100 ? 0 : Math.abs(value) >= 10 ? 1 : 2;
  return value.toLocaleString('en', { minimumFractionDigits: digits, maximumFractionDigits: digits });
}

/** Formats the result of a section for the terminal. */
export function sectionText(name: string, { figures }: SectionResult, verdicts: readonly Verdict[]): string {
  const lines = figures.map((figure) => {
    const verdict = verdicts.find((each) => each.name === figure.name);
    const judged =
      verdict === undefined ? '' : `  ${budgetText(verdict.budget)}  ${verdict.holds ? 'holds' : 'MISSED'}`;
    const byCpu = figure.byCpu === undefined ? '' : `, by CPU ${short(figure.byCpu)}`;
    return `  ${figure.name}: ${figureText(figure)}${byCpu}${judged}`;
  });
  const absent = verdicts.filter((verdict) => !figures.some((figure) => figure.name === verdict.name));
  return [name, ...lines, ...absent.map((verdict) => `  ${verdict.name}: not measured  MISSED`)].join('\n');
}

function isWithin(budget: Budget, value: number | string | undefined): boolean {
  if ('exactly' in budget) return value === budget.exactly;
  if (typeof value !== 'number') return false;
  return 'atLeast' in budget ? value >= budget.atLeast : value <= budget.atMost;
}
