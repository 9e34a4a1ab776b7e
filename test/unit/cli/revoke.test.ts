import { Readable } from 'node:stream';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { hostname, tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { operatorAdapters } from '../../../src/container.ts';
import { runCli } from '../../../src/cli/program.ts';
import type { KeyTable } from '../../../src/maintenance/key-table.ts';
import { KeyfoldError, type DynamoDbMetastoreOptions } from '../../../src/index.ts';
import { DynamoDbKeyTable } from '../../../src/metastore/dynamodb-key-table.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { MINUTE_MS, noDeadline } from '../../support/fakes.ts';
import { cellsOf, OperatorFixture } from '../../support/operator.ts';

let world: OperatorFixture;
let serial = 0;
let id: string;

beforeAll(async () => {
  world = await OperatorFixture.start();
});
afterAll(() => world.stop());

/** Each test uses its own key ID, which has two rows. */
beforeEach(async () => {
  serial += 1;
  id = `_IK_tenant-${serial}_orders_shop`;
  for (const created of [60, 120])
    await world.put(keyRecord(id, created, { parent: keyRecord('_SK_orders_shop', 60) }));
});

/** Whether each of the key's two rows is revoked. */
async function revoked(): Promise<boolean[]> {
  const rows = [60, 120].map((created) => {
    const meta = keyRecord(id, created);
    return world.metastore.load(meta.id, meta.created, noDeadline());
  });
  return (await Promise.all(rows)).map((row) => row?.revoked ?? false);
}

function auditOf(stderr: string): unknown {
  const lines = stderr.split('\n').filter((line) => line.startsWith('{"time"'));
  return JSON.parse(lines.at(-1) ?? '');
}

describe('keys revoke', () => {
  it('revokes one row, prints what the revocation affects and by when, and writes to the audit log', async () => {
    const before = Date.now();
    const run = await world.keyfoldProcess(['keys', 'revoke', id, '60', '--yes', '--reason', 'laptop "lost"']);
    expect(run.code).toBe(0);
    expect(await revoked()).toEqual([true, false]);
    expect(run.stdout).toMatch(/^reaches +new encrypts of this partition: the next one seals under another key$/m);
    expect(run.stdout).toMatch(
      /^latest +warm processes by \S+Z: 60 min \(revokeCheckInterval\) after the write, plus staleGrace \(15 min\)/m,
    );
    const [, by = ''] = /^Revoked\. The last warm process stops by (\S+): 60 min/m.exec(run.stdout) ?? [];
    expect(Date.parse(by)).toBeGreaterThanOrEqual(before + 60 * MINUTE_MS);
    expect(Date.parse(by)).toBeLessThanOrEqual(Date.now() + 60 * MINUTE_MS);
    expect(auditOf(run.stderr)).toEqual({
      time: expect.stringMatching(/Z$/) as string,
      action: 'keys revoke',
      id,
      created: 60,
      reason: 'laptop "lost"',
      table: 'EncryptionKey',
      region: 'us-west-2',
      caller: { user: userInfo().username, host: hostname() },
      dryRun: false,
      outcome: 'revoked',
    });
  });

  it('prints the key, the state of the key, and what the revocation affects', async () => {
    const run = await world.keyfold(['keys', 'revoke', id, '60', '--dry-run']);
    expect(cellsOf(run)).toEqual([
      ['revoke', `${id} 60 (1970-01-01T00:01:00.000Z)`],
      ['table', 'EncryptionKey in us-west-2'],
      ['state', 'expired, then revoked for good'],
      ['reaches', 'new encrypts of this partition: the next one seals under another key'],
      ['at once', 'processes that look the key up afresh'],
      [
        'latest',
        `warm processes by ${new Date(world.clock.nowMs + 60 * MINUTE_MS).toISOString()}: ` +
          '60 min (revokeCheckInterval) after the write, plus staleGrace (15 min) while the metastore is down',
      ],
      ['keeps', 'what it sealed still decrypts; rewrap moves a record under the latest key'],
      ['Dry run: nothing was written.'],
    ]);
  });

  it('takes revokeCheckInterval from the settings', async () => {
    const run = await world.keyfold(['keys', 'revoke', id, '60', '--dry-run'], {
      KEYFOLD_REVOKE_CHECK_INTERVAL_MS: '1500',
    });
    expect(run.stdout).toContain('1.5 s (revokeCheckInterval)');
  });

  it('revokes the latest key of an ID, and prints when the key was created', async () => {
    const run = await world.keyfold(['keys', 'revoke', id, 'latest', '--yes', '--json']);
    expect(JSON.parse(run.stdout)).toEqual({
      id,
      created: 120,
      table: 'EncryptionKey',
      region: 'us-west-2',
      dryRun: false,
      outcome: 'revoked',
      says: expect.stringMatching(/^Revoked\. /) as string,
      reach: {
        revokeCheckIntervalMs: 60 * MINUTE_MS,
        staleGraceMs: 15 * MINUTE_MS,
        latestBy: expect.stringMatching(/Z$/) as string,
      },
    });
    expect(await revoked()).toEqual([false, true]);
  });

  it.for([
    ['an hour ahead', Math.ceil(Date.now() / 1000) + 3600],
    ['in milliseconds', Date.now()],
    ['with the largest safe integer', Number.MAX_SAFE_INTEGER],
  ] as const)('revokes a row that is dated %s only if the operator gives its date', async ([, ahead]) => {
    await world.put(keyRecord(id, ahead));
    const run = await world.keyfold(['keys', 'revoke', id, 'latest', '--yes']);
    expect(run.code).toBe(1);
    expect(run.stderr.split('\n').slice(1)).toEqual([
      `keyfold: the latest row, ${ahead}, is dated too far ahead to seal: name the key's date`,
      '',
    ]);
    expect(auditOf(run.stderr)).toMatchObject({ outcome: 'refused', created: ahead });
    expect(await revoked()).toEqual([false, false]);
    const named = await world.keyfold(['keys', 'revoke', id, String(ahead), '--yes', '--json']);
    expect(JSON.parse(named.stdout)).toMatchObject({ created: ahead, outcome: 'revoked' });
  });

  it('says that revoking a System Key affects every partition of the service', async () => {
    await world.put(keyRecord('_SK_orders_shop', 60));
    const run = await world.keyfold(['keys', 'revoke', '_SK_orders_shop', '60', '--dry-run']);
    expect(cellsOf(run).slice(3, 5)).toEqual([
      ['reaches', 'new encrypts of every partition of the service: no Intermediate Key under it seals more,'],
      ['', "and each partition's next encrypt makes one under another System Key"],
    ]);
  });

  it('neither writes nor asks for confirmation with --dry-run', async () => {
    const run = await world.keyfold(['keys', 'revoke', id, '60', '--dry-run', '--json']);
    expect(run.code).toBe(0);
    const key = { id, created: 60, table: 'EncryptionKey', region: 'us-west-2' };
    expect(JSON.parse(run.stdout)).toEqual({
      ...key,
      dryRun: true,
      outcome: 'would-revoke',
      says: 'Dry run: nothing was written.',
      reach: {
        revokeCheckIntervalMs: 60 * MINUTE_MS,
        staleGraceMs: 15 * MINUTE_MS,
        latestBy: new Date(world.clock.nowMs + 60 * MINUTE_MS).toISOString(),
      },
    });
    expect(run.stderr).toMatch(/^revoke {2}/);
    expect(auditOf(run.stderr)).toEqual({
      time: new Date(world.clock.nowMs).toISOString(),
      action: 'keys revoke',
      ...key,
      reason: null,
      caller: { user: userInfo().username, host: hostname() },
      dryRun: true,
      outcome: 'would-revoke',
    });
    expect(await revoked()).toEqual([false, false]);
  });

  it('refuses to revoke if there is neither a terminal nor --yes', async () => {
    const run = await world.keyfold(['keys', 'revoke', id, '60']);
    expect(run.code).toBe(1);
    expect(run.stderr.split('\n').slice(1)).toEqual([
      'keyfold: there is no terminal for the confirmation: nothing was written; --yes revokes without one',
      '',
    ]);
    expect(auditOf(run.stderr)).toMatchObject({ outcome: 'refused' });
    expect(await revoked()).toEqual([false, false]);
  });

  it('succeeds for a key that is already revoked', async () => {
    await world.keyfold(['keys', 'revoke', id, '60', '--yes']);
    const again = await world.keyfold(['keys', 'revoke', id, '60']);
    expect(again).toMatchObject({ code: 0, stdout: 'It is revoked already: nothing was written.\n' });
    expect(auditOf(again.stderr)).toMatchObject({ outcome: 'already-revoked' });
  });

  it('fails if the row is absent, and does not create it', async () => {
    for (const created of ['61', 'latest']) {
      const run = await world.keyfold(['keys', 'revoke', `${id}-not`, created, '--yes']);
      expect(run).toMatchObject({ code: 1, stdout: '' });
      expect(run.stderr.split('\n').slice(1)).toEqual([
        `keyfold: no row ${id}-not ${created} in table EncryptionKey in us-west-2`,
        '',
      ]);
      expect(auditOf(run.stderr)).toMatchObject({ outcome: 'absent', created: created === 'latest' ? created : 61 });
    }
    expect((await world.keyfold(['keys', 'show', `${id}-not`, 'latest'])).code).toBe(1);
  });

  it('refuses to revoke an unreadable row', async () => {
    await world.put({ Id: { S: id }, Created: { N: '60' }, KeyRecord: { S: 'CANARY' } });
    const run = await world.keyfold(['keys', 'revoke', id, '60', '--yes']);
    expect(run.code).toBe(1);
    expect(run.stderr).toContain('KeyRecord is missing or malformed');
    expect(auditOf(run.stderr)).toMatchObject({ outcome: 'refused' });
  });

  it('writes to the audit log even if the reader of standard output has closed the pipe', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    const file = join(folder, 'audit.jsonl');
    await world.keyfoldProcess(['keys', 'revoke', id, '60', '--yes', '--audit-file', file], {}, 'leaves');
    expect(await revoked()).toEqual([true, false]);
    expect((await readFile(file, 'utf8')).trimEnd().split('\n').at(-1)).toContain('"outcome":"revoked"');
    await rm(folder, { recursive: true });
  });

  it('writes the outcome "failed" to the audit log if the metastore fails', async () => {
    const run = await world.keyfold(['keys', 'revoke', id, '60', '--yes', '--table', 'NoSuch']);
    expect(run).toMatchObject({ code: 1, stdout: '' });
    expect(run.stderr).toMatch(/"outcome":"failed"\}\nkeyfold: The metastore does not answer\.\n/);
  });

  it('appends to an audit file that only its owner can read, and revokes nothing if the write fails', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    const file = join(folder, 'audit.jsonl');
    const run = await world.keyfold(['keys', 'revoke', id, '60', '--dry-run', '--audit-file', file]);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    await world.keyfold(['keys', 'revoke', id, '60', '--yes', '--audit-file', file]);
    const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
    expect(lines.map((line) => JSON.parse(line) as unknown)).toMatchObject([
      { outcome: 'would-revoke' },
      { outcome: 'attempting' },
      { outcome: 'revoked' },
    ]);
    expect((await stat(file)).mode & 0o777).toBe(0o600);

    const nowhere = await world.keyfold([
      'keys',
      'revoke',
      id,
      '120',
      '--yes',
      '--audit-file',
      join(folder, 'no', 'x'),
    ]);
    expect(nowhere.code).toBe(2);
    expect(nowhere.stderr).toContain('cannot be written: ENOENT');
    expect(await revoked()).toEqual([true, false]);
    await rm(folder, { recursive: true });
  });
});

/**
 * Runs the CLI in this process with an operator who types `answer` at the terminal.
 * @param update replaces the function that revokes the row
 */
async function atTerminal(
  args: readonly string[],
  answer: string,
  update?: KeyTable['revoke'],
): Promise<{ code: number; said: string; opened: DynamoDbMetastoreOptions[] }> {
  let said = '';
  const opened: DynamoDbMetastoreOptions[] = [];
  const say = (text: string): void => void (said += `${text}\n`);
  const ask = async (question: string): Promise<string> => {
    say(question);
    return answer;
  };
  const code = await runCli(args, {
    environment: world.settings(),
    terminal: { out: say, err: say, ask },
    caller: { user: 'somebody', host: 'somewhere' },
    now: Date.now,
    version: '0.0.0',
    stdin: Readable.from([]),
    ...operatorAdapters,
    openTable: (options) => {
      opened.push(options);
      const table: KeyTable = new DynamoDbKeyTable(options);
      if (update !== undefined) table.revoke = update;
      return table;
    },
  });
  return { code, said, opened };
}

describe('keys revoke at a terminal', () => {
  it.for([
    ["the key's date", '60'],
    ['"yes"', 'yes'],
    ['"yes" between spaces', ' yes\n'],
  ] as const)('revokes the key if the answer is %s', async ([, answer]) => {
    const { code, said } = await atTerminal(['keys', 'revoke', id, '60'], answer);
    expect(code).toBe(0);
    expect(said).toMatch(
      /^reaches [^]*^Type 60 or yes to revoke it: $[^]*^Revoked\. The last warm process stops by \S+Z: 60 min \(/m,
    );
    expect(await revoked()).toEqual([true, false]);
  });

  it.for([
    ['empty', ''],
    ['"y"', 'y'],
    ["another key's date", '120'],
    ['"no"', 'no'],
  ] as const)('revokes nothing if the answer is %s', async ([, answer]) => {
    const { code, said } = await atTerminal(['keys', 'revoke', id, '60'], answer);
    expect(code).toBe(1);
    expect(said).toMatch(/"outcome":"declined"\}\nkeyfold: not confirmed: nothing was written\n$/);
    expect(await revoked()).toEqual([false, false]);
  });
});

describe('keys revoke, after reading the row,', () => {
  it('writes the key to the audit log even if the update fails', async () => {
    const down = new KeyfoldError('MetastoreUnavailable', 'down');
    const { code, said } = await atTerminal(['keys', 'revoke', id, 'latest', '--yes'], '', () => Promise.reject(down));
    expect(code).toBe(1);
    expect(said).toMatch(
      /"created":120,.*"outcome":"attempting"\}\n.*"created":120,.*"outcome":"failed"\}\nkeyfold: down\n$/,
    );
  });

  it('reports that the row is absent if it disappears before the update', async () => {
    const { code, said } = await atTerminal(['keys', 'revoke', id, 'latest', '--yes'], '', async () => 'absent');
    expect(code).toBe(1);
    expect(said).toMatch(
      /"created":120,.*"outcome":"absent"\}\nkeyfold: no row \S+ latest in table EncryptionKey in us-west-2\n$/,
    );
  });
});

describe('a key whose ID ends with a region', () => {
  it("is revoked in that region's table", async () => {
    await world.put(keyRecord(`${id}_us-east-1`, 60, { parent: keyRecord('_SK_orders_shop_us-east-1', 60) }));
    const { code, said, opened } = await atTerminal(['keys', 'revoke', `${id}_us-east-1`, '60', '--yes'], '');
    expect(code).toBe(0);
    expect(opened).toMatchObject([{ region: 'us-east-1' }]);
    expect(said).toContain('new encrypts of this partition in us-east-1, where alone it is sealed with');
    expect(said).toContain('"region":"us-east-1"');
  });

  it("is read in that region's table if an ARN names the table", async () => {
    const arn = 'arn:aws:dynamodb:us-west-2:111122223333:table/EncryptionKey';
    const tableName = arn.replace('us-west-2', 'us-east-1');
    const args = ['keys', 'show', `${id}_us-east-1`, '60', '--table', arn];
    expect((await atTerminal(args, '')).opened).toMatchObject([{ region: 'us-east-1', tableName }]);
  });

  it('cannot be revoked or shown with --region for another region', async () => {
    for (const command of ['revoke', 'show']) {
      const args = ['keys', command, `${id}_us-east-1`, '60', '--region', 'eu-west-1'];
      const { code, said, opened } = await atTerminal(args, 'yes');
      expect(code).toBe(2);
      expect(said).toBe(
        `keyfold: The row of ${id}_us-east-1 is written in us-east-1, so --region eu-west-1 is not allowed.\n`,
      );
      expect(opened).toEqual([]);
    }
  });

  it('is read in the region that --region names if the ending is part of the product name', async () => {
    const args = ['keys', 'show', '--region', 'eu-west-1', '--product', 'us-east-1', '_SK_orders_us-east-1', '60'];
    expect((await atTerminal(args, '')).opened).toMatchObject([{ region: 'eu-west-1' }]);
    const partition = [
      'keys',
      'show',
      '--region',
      'eu-west-1',
      '--product',
      'us-east-1',
      '_IK_a_b_orders_us-east-1',
      '60',
    ];
    expect((await atTerminal(partition, '')).opened).toMatchObject([{ region: 'eu-west-1' }]);
  });
});
