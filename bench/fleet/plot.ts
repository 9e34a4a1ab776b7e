import type { Passage } from './fleet.ts';
import { COLOURS, PLOT_WIDTH, svgOf, textAt } from '../svg.ts';
import { POLICIES, type PolicyName } from './policies.ts';

const PANEL_HEIGHT = 150;
const LEFT = 60;
const RIGHT = PLOT_WIDTH - 20;
const COLOUR_OF: Readonly<Record<PolicyName, string>> = {
  keyfold: COLOURS.keyfold,
  asherah: COLOURS.red,
  sdk: COLOURS.blue,
};

interface Panel {
  readonly title: string;
  readonly series: Readonly<Record<PolicyName, readonly number[]>>;
}

/** Draws an SVG of a scenario under each policy: the responses per second, and the calls per second in each region. */
export function plot(passages: Readonly<Record<PolicyName, Passage>>): string {
  const { title, horizonMs, regions } = passages.keyfold.scenario;
  const until = Math.min(horizonMs, lastMs(passages)) / 1000 + 1;
  const panels: Panel[] = [
    { title: 'callers answered, a second', series: each(passages, (p) => perSecond(answersOf(p), until)) },
    ...regions.map(({ name, perSecond: quota }, i) => ({
      title: `calls in ${name}, a second (quota ${quota.toLocaleString('en')})`,
      series: each(passages, (p) => perSecond(p.calls[i] ?? new Map(), until)),
    })),
  ];
  const height = 60 + panels.length * (PANEL_HEIGHT + 40);
  return svgOf(height, [
    textAt(LEFT, 20, title, 'font-size="13"'),
    ...POLICIES.map((name, i) => textAt(LEFT + i * 90, 40, `■ ${name}`, `fill="${COLOUR_OF[name]}"`)),
    ...panels.map((panel, i) => panelAt(panel, 70 + i * (PANEL_HEIGHT + 40), until)),
  ]);
}

function panelAt({ title, series }: Panel, top: number, until: number): string {
  const most = Math.max(1, ...POLICIES.flatMap((name) => series[name]));
  const x = (second: number): string => (LEFT + (second * (RIGHT - LEFT)) / until).toFixed(1);
  const y = (value: number): string => (top + PANEL_HEIGHT * (1 - value / most)).toFixed(1);
  const lines = POLICIES.map((name) => {
    const points = series[name].map((value, second) => `${x(second)},${y(value)}`).join(' ');
    return `<polyline fill="none" stroke="${COLOUR_OF[name]}" stroke-width="1.5" points="${points}"/>`;
  });
  return [
    textAt(LEFT, top - 6, title),
    `<path d="M${LEFT} ${top}V${top + PANEL_HEIGHT}H${RIGHT}" fill="none" stroke="#999"/>`,
    textAt(LEFT - 6, top + 10, most.toLocaleString('en'), 'text-anchor="end"'),
    textAt(LEFT - 6, top + PANEL_HEIGHT, '0', 'text-anchor="end"'),
    textAt(RIGHT, top + PANEL_HEIGHT + 14, `${Math.floor(until)} s`, 'text-anchor="end"'),
    ...lines,
  ].join('\n');
}

function answersOf({ wishes }: Passage): Map<number, number> {
  const answers = new Map<number, number>();
  for (const { answeredMs } of wishes) {
    if (answeredMs === undefined) continue;
    const second = Math.floor(answeredMs / 1000);
    answers.set(second, (answers.get(second) ?? 0) + 1);
  }
  return answers;
}

function perSecond(counts: ReadonlyMap<number, number>, until: number): number[] {
  return Array.from({ length: Math.floor(until) }, (_, second) => counts.get(second) ?? 0);
}

function lastMs(passages: Readonly<Record<PolicyName, Passage>>): number {
  const wishes = POLICIES.flatMap((name) => passages[name].wishes);
  return wishes.reduce((last, { answeredMs = 0 }) => Math.max(last, answeredMs), 0);
}

function each<T>(passages: Readonly<Record<PolicyName, Passage>>, of: (passage: Passage) => T): Record<PolicyName, T> {
  return { keyfold: of(passages.keyfold), asherah: of(passages.asherah), sdk: of(passages.sdk) };
}
