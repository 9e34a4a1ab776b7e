/** Tests what `table import` and `table copy` print and record, with a transfer that has rows with every outcome. */
import { expect, it } from 'vitest';
import { commandTerminal } from '../../../src/cli/command-terminal.ts';
import type { CliDependencies } from '../../../src/cli/dependencies.ts';
import { transferRows, type TransferRequest } from '../../../src/cli/transfer-rows.ts';
import type { RowTransfer, TransferredRow } from '../../../src/maintenance/row-transfer.ts';

type Outcome = TransferredRow['outcome'];

const rowOf = (outcome: Outcome, created = 60): TransferredRow => ({ id: '_SK_a_b', created, outcome });
const DIFFERS = { ...rowOf('differs'), why: 'its key differs' };
const ERASED = { ...rowOf('erased'), why: 'it is erased' };
const UNREADABLE = { ...rowOf('unreadable'), created: undefined, rawCreated: '7.5', why: 'it is broken' };
const FAULTY = [DIFFERS, ERASED, UNREADABLE];
const SHOWN = [
  'red: differs     _SK_a_b  60  its key differs',
  'red: erased      _SK_a_b  60  it is erased',
  'red: unreadable  _SK_a_b  7.5  it is broken',
];

interface Scene {
  readonly request?: Partial<TransferRequest>;
  /** The rows of each comparison. */
  readonly compared: readonly (readonly TransferredRow[])[];
  readonly added?: readonly TransferredRow[];
  /** The error after the last added row. */
  readonly fault?: Error;
  readonly answer?: string;
  /** Receives the progress line. Each look at the clock then takes two seconds. */
  readonly status?: (text: string) => void;
}

interface Result {
  readonly code: unknown;
  readonly out: string[];
  readonly err: string[];
  readonly asked: string[];
  readonly audit: unknown[];
}

async function run({ request = {}, compared, added = [], fault, answer, status }: Scene): Promise<Result> {
  const { out, err, asked, audit }: Omit<Result, 'code'> = { out: [], err: [], asked: [], audit: [] };
  const comparisons = compared.values();
  const transfer: RowTransfer = {
    from: async () => 'PostgreSQL at db:5432',
    compare: async function* () {
      yield* comparisons.next().value ?? [];
    },
    add: async function* () {
      yield* added;
      if (fault !== undefined) throw fault;
    },
    close: async () => {},
  };
  const terminal = commandTerminal({
    out: (text, colour) => void out.push(colour === undefined ? text : `${colour}: ${text}`),
    err: (text) => void err.push(text),
    audit: async (line) => void audit.push(JSON.parse(line)),
    status,
    ask: answer === undefined ? undefined : async (question) => (asked.push(question), answer),
  });
  let nowMs = 0;
  const dependencies = {
    terminal,
    now: () => (status === undefined ? 0 : (nowMs += 2000)),
    caller: { user: 'u', host: 'h' },
    openTable: () => ({ place: async () => ({ table: 'Keys', region: 'us-west-2' }) }),
  } as unknown as CliDependencies;
  const flags = { dryRun: false, yes: false, json: false, reason: undefined, auditFile: undefined };
  const given = { action: 'table import', ...flags, ...request } as const;
  const code = await transferRows(given, transfer, {}, dependencies).catch((error: unknown) => error);
  return { code, out, err, asked, audit };
}

/** The printed counts, and the same counts as `--json` prints them. */
function countsOf(counts: Record<'rows' | 'same' | 'missing' | 'differs' | 'erased' | 'unreadable', number>): string {
  return Object.entries(counts)
    .map(([name, count]) => `${name.padEnd('unreadable'.length)}  ${count}`)
    .join('\n');
}

const audited = (outcome: string, missing: number, added: number, reason: string | null = null): object => ({
  time: '1970-01-01T00:00:00.000Z',
  action: 'table import',
  from: 'PostgreSQL at db:5432',
  reason,
  table: 'Keys',
  region: 'us-west-2',
  caller: { user: 'u', host: 'h' },
  dryRun: false,
  missing,
  added,
  outcome,
});

const PLAN = '5 rows of PostgreSQL at db:5432, of which 1 are missing in Keys in us-west-2.';

it('a transfer prints its plan, each row that it cannot add, and the counts', async () => {
  const before = [rowOf('same'), rowOf('missing'), ...FAULTY];
  const after = [rowOf('same'), rowOf('same'), ...FAULTY];
  expect(await run({ compared: [before, after], added: [rowOf('added')], answer: ' yes ' })).toEqual({
    code: 1,
    out: [PLAN, ...SHOWN, countsOf({ rows: 5, same: 2, missing: 0, differs: 1, erased: 1, unreadable: 1 })],
    err: [],
    asked: ['Type yes to add 1 row: '],
    audit: [audited('attempting', 1, 0), audited('transferred', 0, 1)],
  });
});

it('a transfer with --json prints its plan to standard error, and each row as one line', async () => {
  const before = [rowOf('same'), rowOf('missing'), ...FAULTY];
  const after = [rowOf('same'), rowOf('missing'), ...FAULTY];
  const request = { json: true, yes: true, reason: 'move' };
  const { out, ...others } = await run({ request, compared: [before, after], added: [rowOf('missing')] });
  expect(out.map((line) => JSON.parse(line) as unknown)).toEqual([
    DIFFERS,
    ERASED,
    { ...UNREADABLE, created: null },
    { dryRun: false, rows: 5, same: 1, missing: 1, differs: 1, erased: 1, unreadable: 1 },
  ]);
  expect(others).toEqual({
    code: 1,
    err: [PLAN],
    asked: [],
    audit: [audited('attempting', 1, 0, 'move'), audited('transferred', 1, 0, 'move')],
  });
});

it('a transfer shows its progress, and how many rows are left to add', async () => {
  const lines: string[] = [];
  const before = [rowOf('same'), rowOf('missing')];
  const added = [rowOf('same'), rowOf('added')];
  const scene = { request: { yes: true }, compared: [before, [rowOf('same')]], added };
  expect((await run({ ...scene, status: (text) => lines.push(text) })).code).toBe(0);
  expect(lines).toEqual([
    '1 rows, 1/s',
    '2 rows, 1/s',
    '',
    '1 rows of 2, 2 s left, 1/s',
    '2 rows of 2, 0 s left, 1/s',
    '',
    '1 rows, 1/s',
    '',
  ]);
});

it('a transfer that fails prints the number of rows it has added, and writes the number to the audit log', async () => {
  const fault = new Error('down');
  const before = [rowOf('missing', 1), rowOf('missing', 2), rowOf('missing', 3)];
  const scene = { request: { yes: true }, compared: [before], added: [rowOf('added', 1), rowOf('added', 2)], fault };
  expect(await run(scene)).toEqual({
    code: fault,
    out: ['3 rows of PostgreSQL at db:5432, of which 3 are missing in Keys in us-west-2.'],
    err: ['Added 2 of 3 missing rows.'],
    asked: [],
    audit: [audited('attempting', 3, 0), audited('failed', 1, 2)],
  });
});

it.for<[name: string, dryRun: boolean, outcomes: Outcome[], code: number]>([
  ['succeeds if no row is missing', false, ['same', 'same'], 0],
  ['fails if a row differs', false, ['same', 'differs'], 1],
  ['succeeds in a dry run if rows are missing', true, ['same', 'missing'], 0],
  ['fails in a dry run if a row differs', true, ['missing', 'differs'], 1],
  ['succeeds if the source is empty', false, [], 0],
])(
  'a transfer that adds no row %s, and neither asks for confirmation nor writes an audit line',
  async ([, dryRun, outcomes, code]) => {
    const rows = outcomes.map((outcome) => rowOf(outcome));
    const found = await run({ request: { dryRun }, compared: [rows, rows], answer: 'yes' });
    expect(found).toMatchObject({ code, err: [], asked: [], audit: [] });
    expect(found.out.at(-1)).toMatch(new RegExp(`^rows +${rows.length}\n`));
  },
);

it.for([
  ['there is no terminal to confirm on', undefined, []],
  ['the answer is not yes', 'y', ['Type yes to add 2 rows: ']],
] as const)('a transfer adds nothing if %s', async ([, answer, asked]) => {
  const before = [rowOf('missing', 1), rowOf('missing', 2)];
  expect(await run({ compared: [before], ...(answer !== undefined && { answer }) })).toEqual({
    code: 1,
    out: ['2 rows of PostgreSQL at db:5432, of which 2 are missing in Keys in us-west-2.'],
    err: ['keyfold: not confirmed: nothing was written; --yes goes ahead'],
    asked,
    audit: [],
  });
});
