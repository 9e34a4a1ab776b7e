/**
 * Tests the CLI's output for key rows that an attacker wrote. Such rows must neither control the operator's terminal
 * nor hide other rows.
 */
import { Readable } from 'node:stream';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { operatorAdapters } from '../../../src/container.ts';
import { runCli } from '../../../src/cli/program.ts';
import { formatDuration, formatFields, formatTable, printable, printableJson } from '../../../src/cli/text.ts';
import type { KeyRow, KeyTable } from '../../../src/maintenance/key-table.ts';
import { KeyfoldError } from '../../../src/index.ts';
import { encodeKekEnvelope } from '../../../src/kms/kek-envelope.ts';
import type { MaintenanceReport } from '../../../src/maintenance/system-key-maintenance.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';

/**
 * Bidirectional and zero-width characters, C0 and C1 controls, line separators, a lone surrogate, a tag character, a
 * Hangul filler and a soft hyphen.
 */
const EVIL = 'a\u202eb\u2066c\u200bd\ufeffe\u001b[2J\u009b31mf\u0085g\r\nh\u2028i\u2029j\ud800k\u{e0041}l\u3164m\u00ad';
const SHOWN =
  'a\\u202eb\\u2066c\\u200bd\\ufeffe\\x1b[2J\\x9b31mf\\x85g\\x0d\\x0ah\\u2028i\\u2029j\\ud800k\\u{e0041}l\\u3164m\\xad';
const UNPRINTABLE = /[^\P{Cc}\n]|[\p{Cf}\p{Cs}\p{Zl}\p{Zp}\u3164]/u;

const anyText = fc.array(fc.nat({ max: 0x10_ff_ff })).map((codes) => String.fromCodePoint(...codes));

/**
 * Runs a command on a table with these rows, and returns its output. If `answer` is given, an operator types it at the
 * terminal.
 */
async function keyfold(
  args: readonly string[],
  rows: readonly KeyRow[] | KeyfoldError,
  answer?: string,
): Promise<{ code: number; out: string; all: string }> {
  const [out, all] = [[] as string[], [] as string[]];
  const table: KeyTable = {
    place: async () => ({ table: `EncryptionKey${EVIL}`, region: 'us-west-2' }),
    find: async () => found()[0],
    list: async () => found(),
    scan: async function* () {
      yield* found();
    },
    revoke: async () => 'revoked',
    prove: async () => 'proven',
  };
  const found = (): KeyRow[] => {
    if (rows instanceof KeyfoldError) throw rows;
    return [...rows];
  };
  const code = await runCli(args[0] === 'maintain' ? args : ['keys', ...args], {
    environment: { KEYFOLD_SERVICE: 'orders', KEYFOLD_PRODUCT: 'shop', KEYFOLD_STATIC_MASTER_KEY_HEX: '07'.repeat(32) },
    terminal: {
      out: (text) => void all.push(out[out.push(text) - 1] ?? ''),
      err: (text) => void all.push(text),
      ask: answer === undefined ? undefined : async (question) => (all.push(question), answer),
    },
    caller: { user: EVIL, host: 'here' },
    now: Date.now,
    ...operatorAdapters,
    openTable: () => table,
    openErasureTables: () => ({ clockOffsetMs: async () => 0 }) as never,
    openMaintenance: async () => ({ run: async () => EVIL_REPORT }),
    version: '0.0.0',
    stdin: Readable.from([]),
  });
  return { code, out: out.join('\n'), all: all.join('\n') };
}

const EVIL_REPORT: MaintenanceReport = {
  systemKeys: [],
  erasuresDue: [{ partition: EVIL, erase: 'e', at: 60, due: 120 } as never],
  erasuresFault: EVIL,
  createFault: EVIL,
};

function evilRows(): KeyRow[] {
  const kek = { region: `us-west-2${EVIL}`, arn: EVIL, encryptedKek: Buffer.from('x') };
  const encryptedKey = encodeKekEnvelope({ encryptedKey: Buffer.from('x'), kmsKeks: [kek] });
  return [
    keyRecord(`_SK_${EVIL}`, 60, { encryptedKey, parent: keyRecord(`_SK_${EVIL}`, 60) }),
    { id: `_SK_${EVIL}`, created: 60, unreadable: `The key row ${EVIL} cannot be read.` },
  ];
}

describe('a row ID with hidden characters', () => {
  it.for([
    ['keys list', ['list', '--all']],
    ['keys list --json', ['list', '--all', '--json']],
    ['keys show', ['show', `_SK_${EVIL}`, 'latest']],
    ['keys show --json', ['show', `_SK_${EVIL}`, 'latest', '--json']],
    ['keys revoke --dry-run', ['revoke', `_SK_${EVIL}`, 'latest', '--dry-run']],
    ['keys revoke --json', ['revoke', `_SK_${EVIL}`, 'latest', '--reason', EVIL, '--json', '--yes']],
    ['keys revoke', ['revoke', `_SK_${EVIL}`, 'latest', '--reason', EVIL]],
    ['keys revoke for an invalid ID', ['revoke', EVIL, 'latest']],
    ['keys list for an invalid table', ['list', '--table', EVIL, '--region', EVIL]],
    ['an unknown command', [`list${EVIL}`]],
  ] as const)('is escaped in all output of %s', async ([, args]) => {
    const [sound, unreadable] = evilRows();
    for (const rows of [
      [sound],
      [unreadable],
      [],
      new KeyfoldError('MetastoreUnavailable', EVIL, { cause: new Error(EVIL) }),
    ]) {
      for (const answer of [undefined, 'yes']) {
        const { all, out } = await keyfold(args, rows as KeyRow[], answer);
        expect(all).not.toMatch(UNPRINTABLE);
        expect(() => JSON.parse(args.includes('--json' as never) && out !== '' ? out : '{}') as unknown).not.toThrow();
      }
    }
  });

  it('cannot add a line to the output', async () => {
    const [, unreadable] = evilRows() as [KeyRow, KeyRow];
    const { all } = await keyfold(['revoke', '_SK_a_b', 'latest', '--yes'], [unreadable]);
    expect(all.split('\n').at(-1)).toBe(`keyfold: The key row ${SHOWN} cannot be read.`);
    const maintained = await keyfold(['maintain'], []);
    expect(maintained.out.split('\n')).toEqual([
      `The keys of ${SHOWN} are due for deletion since 1970-01-01T00:02:00.000Z.`,
      `The erasures could not be read: ${SHOWN}`,
      `The next System Key could not be made: ${SHOWN}`,
    ]);
    const named = await keyfold(['revoke', EVIL, 'latest'], []);
    expect(named.all).toBe(`keyfold: ${SHOWN} is not the ID of a System Key or an Intermediate Key.`);
  });

  it('is printed with an escape for each hidden character', () => {
    expect(printable(EVIL)).toBe(SHOWN);
    expect(formatTable(['ID'], [[EVIL]])).toEqual(['ID', SHOWN]);
    expect(formatFields([['id', EVIL]])).toEqual([`id  ${SHOWN}`]);
    expect(printable('tenant-é_日本_🔑 \\x1b')).toBe('tenant-é_日本_🔑 \\x1b');
  });

  it('is restored when the JSON output is parsed', () => {
    fc.assert(
      fc.property(anyText, fc.constantFrom(undefined, 2), (id, indent) => {
        const text = printableJson({ id, [id]: [EVIL] }, indent);
        expect(text).not.toMatch(UNPRINTABLE);
        expect(JSON.parse(text)).toEqual({ id, [id]: [EVIL] });
      }),
    );
  });
});

describe('keys list', () => {
  it('lists the rows with the same ID together, latest first', async () => {
    const rows = [
      keyRecord('_SK_b', 60),
      keyRecord('_SK_b', 120),
      keyRecord('_SK_a', 60),
      { id: '_SK_a', created: undefined, unreadable: 'x' },
      keyRecord('_SK_a', 120),
    ];
    const { out } = await keyfold(['list', '--all', '--json'], rows);
    const listed = JSON.parse(out) as { id: string; created: number | null; createdAt: string | null }[];
    expect(listed.map(({ createdAt }) => createdAt).slice(3)).toEqual(['1970-01-01T00:01:00.000Z', null]);
    expect(listed.map(({ id, created }) => `${id} ${created}`)).toEqual([
      '_SK_b 120',
      '_SK_b 60',
      '_SK_a 120',
      '_SK_a 60',
      '_SK_a null',
    ]);
    expect(JSON.parse((await keyfold(['list', '--all', '--json'], [])).out)).toEqual([]);
  });

  it('prints a question mark for a date that Date cannot represent', async () => {
    const { out } = await keyfold(['list', '--all'], [keyRecord('_SK_a', 8_640_000_000_001)]);
    expect(out.split('\n')[1]).toMatch(/^_SK_a +system +\? +8640000000001 /);
  });
});

it('formatDuration prints whole minutes as minutes, and other durations as seconds', () => {
  expect([0, 60_000, 90_000, 61_500, 3_600_000].map(formatDuration)).toEqual([
    '0 min',
    '1 min',
    '90 s',
    '61.5 s',
    '60 min',
  ]);
});

describe('keys list on a large table', () => {
  const many = Array.from({ length: 130_000 }, (_, i) => keyRecord(`_IK_tenant-${i}_orders_shop`, 60));

  it('prints all 130,000 rows as text and as JSON', async () => {
    const [table, json] = [await keyfold(['list', '--all'], many), await keyfold(['list', '--all', '--json'], many)];
    expect(table.code).toBe(0);
    expect(table.out.split('\n')).toHaveLength(130_001);
    expect(JSON.parse(json.out)).toHaveLength(130_000);
  });

  it('aligns the columns of all rows', async () => {
    const { out } = await keyfold(['list', '--all'], [...many.slice(0, 1), ...many.slice(1000, 2500)]);
    const places = out
      .trimEnd()
      .split('\n')
      .map((line) => [line.search(/KIND|intermediate/), line.search(/STATE|expired/)].join());
    expect(new Set(places)).toEqual(new Set(['29,76']));
  });

  it('does not pad every line to the width of one long ID or parent', async () => {
    const few = many.slice(0, 1000);
    const plain = await keyfold(['list', '--all'], few);
    const long = keyRecord(`_IK_${'x'.repeat(2000)}`, 60, { parent: keyRecord('y'.repeat(100_000), 60) });
    const widened = await keyfold(['list', '--all'], [...few, long]);
    expect(widened.out.length - plain.out.length).toBeLessThan(1000 * 120 + 2000 + 100_000 + 120);
    expect(widened.out).toContain('x'.repeat(2000));
  });
});
