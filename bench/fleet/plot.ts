import type { Passage } from './fleet.ts';
import { POLICIES, type PolicyName } from './policies.ts';

const WIDTH = 720;
const PANEL_HEIGHT = 150;
const LEFT = 60;
const COLOURS: Readonly<Record<PolicyName, string>> = { keyfold: '#0b6e4f', asherah: '#c1440e', sdk: '#3b5ba5' };

interface Panel {
  readonly title: string;
  readonly series: Readonly<Record<PolicyName, readonly number[]>>;
}

/** Draws an SVG of a scenario under every policy: the answers and the calls in each region, per second. */
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
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${height}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${height}" fill="white"/>`,
    `<text x="${LEFT}" y="20" font-size="13">${title}</text>`,
    ...POLICIES.map((name, i) => `<text x="${LEFT + i * 90}" y="40" fill="${COLOURS[name]}">■ ${name}</text>`),
    ...panels.map((panel, i) => panelAt(panel, 70 + i * (PANEL_HEIGHT + 40), until)),
    '</svg>\n',
  ].join('\n');
}

function panelAt({ title, series }: Panel, top: number, until: number): string {
  const most = Math.max(1, ...POLICIES.flatMap((name) => series[name]));
  const x = (second: number): string => (LEFT + (second * (WIDTH - LEFT - 20)) / until).toFixed(1);
  const y = (value: number): string => (top + PANEL_HEIGHT * (1 - value / most)).toFixed(1);
  const lines = POLICIES.map((name) => {
    const points = series[name].map((value, second) => `${x(second)},${y(value)}`).join(' ');
    return `<polyline fill="none" stroke="${COLOURS[name]}" stroke-width="1.5" points="${points}"/>`;
  });
  return [
    `<text x="${LEFT}" y="${top - 6}">${title}</text>`,
    `<path d="M${LEFT} ${top}V${top + PANEL_HEIGHT}H${WIDTH - 20}" fill="none" stroke="#999"/>`,
    `<text x="${LEFT - 6}" y="${top + 10}" text-anchor="end">${most.toLocaleString('en')}</text>`,
    `<text x="${LEFT - 6}" y="${top + PANEL_HEIGHT}" text-anchor="end">0</text>`,
    `<text x="${WIDTH - 20}" y="${top + PANEL_HEIGHT + 14}" text-anchor="end">${Math.floor(until)} s</text>`,
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
