/**
 * Writes docs/images/performance/results.json, and generates parts of docs/explanation/performance.md and the page's
 * plots from that file.
 */
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { writeGeneratedBlock } from '../scripts/generated-block.ts';
import { BUDGETS } from './budgets.ts';
import type { Figure, SectionResult, Speed } from './figures.ts';
import { plotSpeeds } from './plot.ts';
import type { SectionName } from './sections.ts';
import { budgetText, figureText, judge, short, type Verdict } from './verdict.ts';

/** Results by section. A section that was never measured is absent. */
export type Results = Partial<Record<SectionName, SectionResult>>;

const DOCS = join(import.meta.dirname, '..', 'docs');
const DOCUMENT = join(DOCS, 'explanation', 'performance.md');
const IMAGES = join(DOCS, 'images', 'performance');
const RESULTS = join(IMAGES, 'results.json');

const TITLES: Readonly<Record<SectionName, string>> = {
  library: 'The warm library against the floor',
  handler: 'The HTTP handler',
  context: 'A context of two entries',
  queue: 'The queue',
  verify: '`keyfold verify` on a file',
  reencrypt: '`keyfold reencrypt`, against a copy of the same rows without cryptography',
  'hostile input': 'Four times as much hostile input',
  contestants: 'Against the alternatives',
  calls: 'Calls to KMS and DynamoDB',
  vault: 'Loading a System Key from Vault, against a raw transit call',
  'cold start': 'Loading the bundle',
  memory: 'Measured memory',
};
const OF_MEMORY: ReadonlySet<SectionName> = new Set(['memory']);

/** Writes the results of the measured sections. Other sections keep their earlier results. */
export async function writePerformance(measured: Results): Promise<void> {
  await mkdir(IMAGES, { recursive: true });
  const results: Results = { ...(await earlierResults()), ...measured };
  await writeFormatted(RESULTS, JSON.stringify(results, rounded));
  for (const operation of ['encrypt', 'decrypt']) {
    const speeds = (results.contestants?.speeds ?? []).filter((speed) => speed.operation === operation);
    if (speeds.length > 0) await writeFile(join(IMAGES, `${operation}.svg`), plotSpeeds(operation, speeds));
  }
  await writeGeneratedBlock(
    DOCUMENT,
    'bench',
    sections(results, (name) => !OF_MEMORY.has(name)),
  );
  await writeGeneratedBlock(
    DOCUMENT,
    'memory',
    sections(results, (name) => OF_MEMORY.has(name)),
  );
  await writeFormatted(DOCUMENT, await readFile(DOCUMENT, 'utf8'));
}

async function earlierResults(): Promise<Results> {
  const text = await readFile(RESULTS, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return '{}';
    throw error;
  });
  return JSON.parse(text) as Results;
}

async function writeFormatted(file: string, text: string): Promise<void> {
  await writeFile(file, await format(text, { ...(await resolveConfig(file)), filepath: file }));
}

/** Rounds to four significant digits, because measurements on a shared machine are no more precise. */
function rounded(_key: string, value: unknown): unknown {
  return typeof value === 'number' ? Number(value.toPrecision(4)) : value;
}

function sections(results: Results, isWanted: (name: SectionName) => boolean): string {
  const names = (Object.keys(TITLES) as SectionName[]).filter(isWanted);
  return names.flatMap((name) => (results[name] === undefined ? [] : [section(name, results[name])])).join('\n\n');
}

function section(name: SectionName, { figures, speeds }: SectionResult): string {
  const verdicts = new Map(judge(BUDGETS[name], figures).map((verdict) => [verdict.name, verdict]));
  const rows = figures.map((figure) => {
    const verdict = verdicts.get(figure.name);
    const budget = verdict === undefined ? '' : budgetText(verdict.budget);
    const judged = verdict === undefined ? '' : verdict.holds ? 'holds' : '**missed**';
    return [figure.name, figureText(figure), byCpu(figure), budget, judged];
  });
  const heading = `### ${TITLES[name]}`;
  if (name === 'contestants') {
    const plots = ['encrypt', 'decrypt'].map(
      (operation) => `![Time to ${operation}, by contestant and size](../images/performance/${operation}.svg)`,
    );
    return [heading, ...plots, ratioTable(figures, verdicts), speedTable(speeds ?? [])].join('\n\n');
  }
  const parts = [heading, table(['measure', 'figure', 'by CPU', 'budget', 'verdict'], rows)];
  if (speeds !== undefined) parts.push(speedTable(speeds));
  return parts.join('\n\n');
}

function byCpu({ byCpu: value }: Figure): string {
  return value === undefined ? '' : `${short(value)}×`;
}

/**
 * A table that shows, for each contestant, how many times as fast Keyfold is. It marks ratios that miss their budgets.
 */
function ratioTable(figures: readonly Figure[], verdicts: ReadonlyMap<string, Verdict>): string {
  const parsed = figures.map((figure) => {
    const [, operation = '', contestant = '', size = ''] = /^(\w+) against (.*) ([\d.]+ \w+)$/.exec(figure.name) ?? [];
    const verdict = verdicts.get(figure.name);
    const text = typeof figure.value === 'number' ? `${short(figure.value)}×` : figure.value;
    const budget = verdict === undefined ? '' : ` (${budgetText(verdict.budget)})`;
    return { row: `${operation} | ${contestant}`, size, text: `${text}${budget}`, isMissed: verdict?.holds === false };
  });
  const sizes = [...new Set(parsed.map(({ size }) => size))];
  const rows = [...new Set(parsed.map(({ row }) => row))].toSorted().map((row) => {
    const cells = sizes.map((size) => parsed.find((each) => each.row === row && each.size === size));
    return [row].concat(
      cells.map((cell) => (cell?.isMissed === true ? `**${cell.text} missed**` : (cell?.text ?? ''))),
    );
  });
  const note = 'Each figure says how many times as fast as the contestant Keyfold is. Budgets are in brackets.';
  return [note, table(['operation', 'against', ...sizes], rows)].join('\n\n');
}

/** A Markdown table of how many microseconds encrypt and decrypt take for each contestant and payload size. */
function speedTable(speeds: readonly Speed[]): string {
  const sizes = [...new Set(speeds.map(({ size }) => size))];
  const contestants = [...new Set(speeds.map(({ contestant }) => contestant))];
  const cell = (contestant: string, size: string): string => {
    const own = speeds.filter((speed) => speed.contestant === contestant && speed.size === size);
    return own.map(({ wallUs }) => short(wallUs.value)).join(' / ');
  };
  const rows = contestants.map((contestant) => [contestant].concat(sizes.map((size) => cell(contestant, size))));
  return table(['µs, encrypt / decrypt', ...sizes], rows);
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

function line(cells: readonly string[]): string {
  return `| ${cells.join(' | ')} |`;
}
