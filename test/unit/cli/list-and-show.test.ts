import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { encodeKekEnvelope } from '../../../src/kms/kek-envelope.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { DAY_MS, noDeadline } from '../../support/fakes.ts';
import { cellsOf, OperatorFixture } from '../../support/operator.ts';

const SYSTEM_KEY = '_SK_orders_shop';
const GUARD = '__asherah_internal_config_drift_guard_v1__:orders';
const ARN = 'arn:aws:kms:us-west-2:111122223333:key/0000';
let world: OperatorFixture;
let created: number;
let sealed: string;

beforeAll(async () => {
  world = await OperatorFixture.start();
  await world.service().session('tenant-1').encrypt(Buffer.from('x'));
  await world.service().session('tenant-2').encrypt(Buffer.from('x'));
  const systemKey = await world.metastore.loadLatest(keyRecord(SYSTEM_KEY, 0).id, noDeadline());
  created = systemKey?.created ?? 0;
  sealed = Buffer.from(systemKey?.encryptedKey ?? []).toString('base64');
  const old = Math.floor((world.clock.nowMs - 91 * DAY_MS) / 1000);
  await world.put(keyRecord(SYSTEM_KEY, old));
  await world.put(keyRecord(SYSTEM_KEY, old - 60, { revoked: true }));
  const kek = { region: 'us-west-2', arn: ARN, encryptedKek: Buffer.from('CANARY') };
  const kmsKeks = [kek, { ...kek, region: 'us-east-1', arn: 'alias/asherah\x1b[2J' }];
  const encryptedKey = encodeKekEnvelope({ encryptedKey: Buffer.from('CANARY'), kmsKeks });
  await world.put(keyRecord('_SK_billing_shop', 60, { encryptedKey }));
  await world.put({ Id: { S: '_SK_broken_shop' }, Created: { N: '60' }, KeyRecord: { S: 'CANARY' } });
  await world.put({ Id: { S: GUARD }, Created: { N: '0' }, KeyRecord: { M: { Guard: { S: 'CANARY' } } } });
  await world.put(keyRecord('_IK_bad\x1b[2J_orders_shop', 60, { parent: keyRecord(SYSTEM_KEY, 60) }));
});
afterAll(() => world.stop());

/** Runs `keys list --json` and returns the rows. */
async function rows(...args: string[]): Promise<Record<string, unknown>[]> {
  const { stdout } = await world.keyfold(['keys', 'list', '--json', ...args]);
  return JSON.parse(stdout) as Record<string, unknown>[];
}

async function idsOf(...args: string[]): Promise<unknown[]> {
  return (await rows(...args)).map(({ id }) => id);
}

async function statesOf(...args: string[]): Promise<unknown[]> {
  return (await rows(...args)).map(({ state }) => state);
}

describe('keys list', () => {
  it("shows the service's System Keys with their states, latest first", async () => {
    const run = await world.keyfold(['keys', 'list']);
    expect(run).toMatchObject({ code: 0, stderr: '' });
    const [header, ...lines] = cellsOf(run);
    expect(header).toEqual(['ID', 'KIND', 'CREATED', 'EPOCH', 'STATE', 'PARENT']);
    const iso = new Date(created * 1000).toISOString();
    expect(lines[0]).toEqual([SYSTEM_KEY, 'system', iso, String(created), 'valid']);
    expect(lines.map((line) => line[4])).toEqual(['valid', 'expired', 'revoked']);
  });

  it('lists only keys in the given states, and only keys that are older than the given age', async () => {
    expect(await statesOf('--state', 'expired', 'revoked')).toEqual(['expired', 'revoked']);
    expect(await statesOf('--state', 'valid')).toEqual(['valid']);
    expect(await statesOf('--older-than', '90d')).toEqual(['expired', 'revoked']);
    expect(await statesOf('--older-than', '92d')).toEqual([]);
    expect(await statesOf('--older-than', '90d', '--state', 'revoked', 'valid')).toEqual(['revoked']);
  });

  it("shows a partition's Intermediate Keys, each with its System Key", async () => {
    expect(await rows('--partition', 'tenant-1')).toEqual([
      {
        id: '_IK_tenant-1_orders_shop',
        kind: 'intermediate',
        created,
        createdAt: new Date(created * 1000).toISOString(),
        state: 'valid',
        parent: { id: SYSTEM_KEY, created },
      },
    ]);
  });

  it("lists the service's Intermediate Keys of the partitions that begin with a prefix", async () => {
    expect(await idsOf('--partition-prefix', 'tenant-1')).toEqual(['_IK_tenant-1_orders_shop']);
    expect(new Set(await idsOf('--partition-prefix', 'tenant-'))).toEqual(
      new Set(['_IK_tenant-1_orders_shop', '_IK_tenant-2_orders_shop']),
    );
    expect(await idsOf('--partition-prefix', 'bad')).toEqual(['_IK_bad\x1b[2J_orders_shop']);
    expect(await idsOf('--partition-prefix', 'enant-')).toEqual([]);
    expect(await idsOf('--partition-prefix', 'tenant-', '--service', 'billing')).toEqual([]);
  });

  it('lists every row with --all, including unreadable rows and rows from other programs', async () => {
    const all = await rows('--all');
    expect(all).toHaveLength(9);
    const broken = all.filter((row) => row['state'] === 'unreadable');
    expect(broken.toSorted((a, b) => String(a['id']).localeCompare(String(b['id'])))).toMatchObject([
      { id: GUARD, kind: 'other', created: 0, unreadable: expect.stringContaining('KeyRecord.Key is missing') },
      {
        id: '_SK_broken_shop',
        kind: 'system',
        created: 60,
        unreadable: expect.stringContaining('KeyRecord is missing'),
      },
    ]);
    const run = await world.keyfold(['keys', 'list', '--all']);
    expect(cellsOf(run)).toContainEqual([GUARD, 'other', '1970-01-01T00:00:00.000Z', '0', 'unreadable']);
    expect(cellsOf(run).flat()).toContain('_IK_bad\\x1b[2J_orders_shop');
  });

  it('takes the names, the table and the expiry from the settings unless an option overrides them', async () => {
    expect(await rows('--service', 'billing')).toMatchObject([{ id: '_SK_billing_shop' }]);
    expect(await rows('--region-suffix', 'us-east-1')).toEqual([]);
    const later = { KEYFOLD_EXPIRE_AFTER_MS: String(92 * DAY_MS) };
    const kept = await world.keyfold(['keys', 'list', '--json'], later);
    expect(JSON.parse(kept.stdout)).toMatchObject([{ state: 'valid' }, { state: 'valid' }, { state: 'revoked' }]);
    const missing = await world.keyfold(['keys', 'list', '--table', 'NoSuch']);
    expect(missing).toMatchObject({ code: 1, stdout: '' });
    expect(missing.stderr).toContain('DynamoDB table NoSuch in us-west-2: ResourceNotFoundException');
    const none = await world.keyfold(['keys', 'list', '--service', 'nobody']);
    expect(none).toEqual({
      code: 0,
      stdout: '',
      stderr: 'No rows of _SK_nobody_shop in table EncryptionKey in us-west-2.\n',
    });
  });

  it.for([
    ['--state', 'dated-ahead'],
    ['--older-than', '9999d'],
  ])('says that no rows pass the filter if %s excludes all rows', async (filter) => {
    expect(await world.keyfold(['keys', 'list', ...filter])).toEqual({
      code: 0,
      stdout: '',
      stderr: 'No rows of _SK_orders_shop in table EncryptionKey in us-west-2 pass the filter.\n',
    });
  });
});

function setting(seconds: number): string {
  return new Date(seconds * 1000).toISOString().replace('.000', '');
}

describe('minimum dates', () => {
  it('are shown by keys list, which marks the keys created before these dates', async () => {
    const sealing = { KEYFOLD_MIN_SEALING_CREATED: setting(created) };
    const run = await world.keyfold(['keys', 'list'], sealing);
    expect(run.stderr).toBe(
      `Keys created before ${new Date(created * 1000).toISOString()} seal nothing new (KEYFOLD_MIN_SEALING_CREATED).\n`,
    );
    expect(cellsOf(run).map((line) => line[4])).toEqual(['STATE', 'valid', 'before-minimum', 'revoked']);
    const opening = { KEYFOLD_MIN_OPENING_CREATED: setting(created) };
    const { stdout, stderr } = await world.keyfold(['keys', 'list', '--json'], opening);
    const states = (JSON.parse(stdout) as { state: string }[]).map(({ state }) => state);
    expect(states).toEqual(['valid', 'before-opening-minimum', 'before-opening-minimum']);
    expect(stderr).toContain('open nothing (KEYFOLD_MIN_OPENING_CREATED)');
  });

  it('also apply to an Intermediate Key whose System Key was created before these dates', async () => {
    const id = '_IK_late_orders_shop';
    await world.put(keyRecord(id, created + 60, { parent: keyRecord(SYSTEM_KEY, created) }));
    const stateWith = async (name: string): Promise<string> => {
      const { stdout } = await world.keyfold(['keys', 'show', id, 'latest', '--json'], {
        [name]: setting(created + 30),
      });
      return (JSON.parse(stdout) as { state: string }).state;
    };
    expect(await stateWith('KEYFOLD_MIN_SEALING_CREATED')).toBe('before-minimum');
    expect(await stateWith('KEYFOLD_MIN_OPENING_CREATED')).toBe('before-opening-minimum');
  });
});

it('keys list fails if neither a service nor --all is specified', async () => {
  const run = await world.keyfold(['keys', 'list'], { KEYFOLD_SERVICE: undefined, KEYFOLD_PRODUCT: undefined });
  expect(run).toEqual({
    code: 2,
    stdout: '',
    stderr:
      'keyfold: Keyfold cannot start:\n- set KEYFOLD_SERVICE and KEYFOLD_PRODUCT, or --service and --product, ' +
      'to list the keys of a service; --all lists every row\n',
  });
});

describe('keys show', () => {
  it('names the regions and KMS keys that wrap a System Key', async () => {
    const { stdout } = await world.keyfold(['keys', 'show', '_SK_billing_shop', '60', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({
      id: '_SK_billing_shop',
      state: 'expired',
      table: 'EncryptionKey',
      region: 'us-west-2',
      kms: 'aws',
      wraps: [
        { region: 'us-west-2', arn: ARN },
        { region: 'us-east-1', arn: 'alias/asherah\x1b[2J' },
      ],
    });
    expect(cellsOf(await world.keyfold(['keys', 'show', '_SK_billing_shop', 'latest']))).toEqual([
      ['id', '_SK_billing_shop'],
      ['kind', 'system'],
      ['created', '60 (1970-01-01T00:01:00.000Z)'],
      ['state', 'expired'],
      ['wrapped in us-west-2', ARN],
      ['wrapped in us-east-1', 'alias/asherah\\x1b[2J'],
      ['table', 'EncryptionKey in us-west-2'],
    ]);
  });

  it('says that a static master key wraps a System Key', async () => {
    const { stdout } = await world.keyfold(['keys', 'show', SYSTEM_KEY, 'latest']);
    expect(stdout).toMatch(/^wrapped by +a static master key: there is no KMS envelope$/m);
  });

  it.for([
    ['Vault', 'vault', `vault:v3:${Buffer.alloc(60).toString('base64')}`, 'version 3 of a transit key'],
    ['an HSM', 'pkcs11', `pkcs11:gcm:keyfold:${Buffer.alloc(60).toString('base64')}`, 'the key keyfold of an HSM'],
  ] as const)('says that %s wraps a System Key', async ([, kms, wrapped, wrappedBy]) => {
    const id = `_SK_${kms}_shop`;
    await world.put(keyRecord(id, 60, { encryptedKey: Buffer.from(wrapped) }));
    const { stdout } = await world.keyfold(['keys', 'show', id, '60', '--json']);
    expect(JSON.parse(stdout)).toMatchObject({ kms, wraps: [], wrappedBy });
    expect(cellsOf(await world.keyfold(['keys', 'show', id, '60']))).toContainEqual(['wrapped by', wrappedBy]);
  });

  it('shows the System Key of an Intermediate Key, and no KMS keys', async () => {
    const run = await world.keyfold(['keys', 'show', '_IK_tenant-1_orders_shop', String(created)]);
    expect(cellsOf(run)).toEqual([
      ['id', '_IK_tenant-1_orders_shop'],
      ['kind', 'intermediate'],
      ['created', `${created} (${new Date(created * 1000).toISOString()})`],
      ['state', 'valid'],
      ['parent', `${SYSTEM_KEY} ${created}`],
      ['table', 'EncryptionKey in us-west-2'],
    ]);
  });

  it('prints the reason if a row is unreadable', async () => {
    const run = await world.keyfold(['keys', 'show', '_SK_broken_shop', '60']);
    expect(run.code).toBe(0);
    expect(run.stdout).toMatch(/^state +unreadable: .*KeyRecord is missing or malformed/m);
  });

  it('fails if the row is absent', async () => {
    expect(await world.keyfold(['keys', 'show', SYSTEM_KEY, '61'])).toEqual({
      code: 1,
      stdout: '',
      stderr: `keyfold: no row ${SYSTEM_KEY} 61 in table EncryptionKey in us-west-2\n`,
    });
  });
});

it('no command prints credentials or key bytes, not even sealed key bytes', async () => {
  const environment = {
    AWS_ACCESS_KEY_ID: 'AKIACANARY',
    AWS_SECRET_ACCESS_KEY: 'CANARY',
    AWS_SESSION_TOKEN: 'CANARY',
    KEYFOLD_STATIC_MASTER_KEY_HEX: '07'.repeat(32),
  };
  const commands = [
    ['list', '--all'],
    ['list', '--all', '--table', 'NoSuch'],
    ['list', '--all', '--endpoint', 'http://127.0.0.1:9'],
    ['show', '_SK_billing_shop', '60'],
    ['show', '_SK_broken_shop', '60'],
    ['show', SYSTEM_KEY, 'latest'],
    ['revoke', SYSTEM_KEY, String(created), '--dry-run'],
    ['revoke', '_SK_broken_shop', '60', '--yes'],
  ];
  const runs = commands
    .flatMap((args) => [args, [...args, '--json']])
    .map((args) => world.keyfold(['keys', ...args], environment));
  for (const { stdout, stderr } of await Promise.all(runs)) {
    expect(stdout + stderr).not.toMatch(/CANARY|(07){8}/);
    expect(stdout + stderr).not.toContain(Buffer.from('CANARY').toString('base64'));
    expect(stdout + stderr).not.toContain(sealed);
  }
});

describe('the keyfold command', () => {
  it.for([
    [
      '--all together with --partition',
      ['keys', 'list', '--all', '--partition', 'p'],
      "error: option '--all' cannot be used with option '--partition <partition>'\n",
    ],
    [
      '--all together with --partition-prefix',
      ['keys', 'list', '--all', '--partition-prefix', 'p'],
      "error: option '--all' cannot be used with option '--partition-prefix <text>'\n",
    ],
    [
      '--partition together with --partition-prefix',
      ['keys', 'list', '--partition', 'p', '--partition-prefix', 'p'],
      "error: option '--partition-prefix <text>' cannot be used with option '--partition <partition>'\n",
    ],
    ['an empty partition', ['keys', 'list', '--partition', ''], 'keyfold: The partition is empty.\n'],
    [
      'an empty prefix',
      ['keys', 'list', '--partition-prefix', ''],
      'keyfold: The prefix of the partitions is empty.\n',
    ],
    [
      'an unknown state',
      ['keys', 'list', '--state', 'old'],
      'Allowed choices are valid, expired, before-minimum, before-opening-minimum, revoked, erased, dated-ahead, unreadable.',
    ],
    [
      'an age without a unit',
      ['keys', 'list', '--older-than', '90'],
      'It must be a number with d, h, m or s, such as 90d.\n',
    ],
    ['an unknown option', ['keys', 'list', '--nonsense'], 'unknown option'],
    ['a missing date', ['keys', 'show', SYSTEM_KEY], 'missing required argument'],
    ['a date with a fraction', ['keys', 'show', SYSTEM_KEY, '1.5'], 'It must be epoch seconds or latest.\n'],
    [
      'an unsafe integer as a date',
      ['keys', 'show', SYSTEM_KEY, '9007199254740992'],
      'must be epoch seconds or latest',
    ],
    [
      'an endpoint that is not a URL',
      ['keys', 'show', SYSTEM_KEY, '60', '--endpoint', 'localhost'],
      'KEYFOLD_DYNAMODB_ENDPOINT is not a URL',
    ],
    [
      "a partition's name instead of a key ID",
      ['keys', 'revoke', 'tenant-1', '60'],
      'keyfold: tenant-1 is not the ID of a System Key or an Intermediate Key.\n',
    ],
    ['a missing subcommand', ['keys'], 'Usage: keyfold keys'],
    ['an unknown command', ['key'], 'unknown command'],
  ] as const)('exits with code 2 for %s', async ([, args, says]) => {
    const run = await world.keyfold(args);
    expect(run).toMatchObject({ code: 2, stdout: '' });
    expect(run.stderr).toContain(says);
  });

  it.for([
    ['an empty setting', { KEYFOLD_SERVICE: '' }, 'KEYFOLD_SERVICE is empty'],
    ['an unknown setting', { KEYFOLD_REVOKE_CHECK_INTERVAL: '1' }, 'KEYFOLD_REVOKE_CHECK_INTERVAL is not a setting'],
    [
      'a missing region',
      { AWS_REGION: '', AWS_CONFIG_FILE: '/dev/null', AWS_SHARED_CREDENTIALS_FILE: '/dev/null' },
      'no region is set',
    ],
  ] as const)('exits with code 2 for %s in the environment', async ([, environment, says]) => {
    const run = await world.keyfoldProcess(['keys', 'list'], environment);
    expect(run.code).toBe(2);
    expect(run.stderr).toContain(says);
  });

  it('prints its help to standard output and exits with code 0', async () => {
    expect(await world.keyfold(['keys', 'revoke', '--help'])).toMatchObject({ code: 0, stderr: '' });
  });
});
