/**
 * Replaces KMS keys while Asherah reads the table, as docs/how-to/replace-a-kms-key.md describes. The tests show what
 * cold processes can read before and after maintenance, and in which order of the steps no read fails.
 */
import { CreateAliasCommand, CreateKeyCommand, KMSClient, UpdateAliasCommand } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { AwsKms, SystemKeyMaintenance } from '../../src/index.ts';
import { ASHERAHS, type AsherahCore } from './asherah.ts';
import { startKmsProxy, type KmsProxy } from './kms-proxy.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { NAMES, shareTable, type SharedTable } from './shared-table.ts';

const PAYLOAD = Buffer.from('payload');
const WEST = 'us-west-2';
const EAST = 'us-east-1';
const BOTH = [WEST, EAST];
/** These implementations name the configured key when they call Decrypt. The others name no key. */
const NAME_THEIR_KEY: ReadonlySet<AsherahCore> = new Set(['go-v2', 'rust']);

let kms: KmsEmulator;
let dynamoDb: PeerServer;
let proxy: KmsProxy;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDbLocal()]);
  proxy = await startKmsProxy(kms.endpoint, BOTH);
});
afterAll(() => Promise.all([kms.close(), dynamoDb.stop(), proxy.stop()]));

describe.for(ASHERAHS)('Asherah %s', (core) => {
  it.for([
    {
      moves: 'its only region',
      by: 'alias',
      regions: [WEST],
      moved: [WEST],
      configured: 'alias',
      before: false,
      after: true,
    },
    {
      moves: 'its only region',
      by: 'old key',
      regions: [WEST],
      moved: [WEST],
      configured: 'old',
      before: true,
      after: false,
    },
    {
      moves: 'its only region',
      by: 'new key',
      regions: [WEST],
      moved: [WEST],
      configured: 'next',
      before: false,
      after: true,
    },
    { moves: 'both regions', by: 'alias', regions: BOTH, moved: BOTH, configured: 'alias', before: false, after: true },
    { moves: 'both regions', by: 'old key', regions: BOTH, moved: BOTH, configured: 'old', before: true, after: false },
    {
      moves: 'both regions',
      by: 'new key',
      regions: BOTH,
      moved: BOTH,
      configured: 'next',
      before: false,
      after: true,
    },
    {
      moves: 'one of two regions',
      by: 'alias',
      regions: BOTH,
      moved: [EAST],
      configured: 'alias',
      before: true,
      after: true,
    },
    {
      moves: 'one of two regions',
      by: 'old key',
      regions: BOTH,
      moved: [EAST],
      configured: 'old',
      before: true,
      after: true,
    },
  ] as const)(
    'configured with the $by behaves as documented while the KMS key of $moves is replaced',
    async ({ regions, moved, configured, before, after }) => {
      for (const maker of configured === 'alias' ? (['keyfold', 'asherah'] as const) : (['keyfold'] as const)) {
        const world = await setUp(core, regions);
        const record = await world.seal(maker, regions);
        await world.move(moved);
        const seen = [await world.reads(record, regions, configured)];
        await world.maintain(regions);
        seen.push(await world.reads(record, regions, configured));
        expect(seen).toEqual(NAME_THEIR_KEY.has(core) ? [before, after] : [true, true]);
      }
    },
  );

  it("can read a record at every step if the regions' aliases move one by one, with a maintenance run after each move", async () => {
    const world = await setUp(core, BOTH);
    const record = await world.seal('keyfold', BOTH);
    for (const region of BOTH) {
      await world.move([region]);
      expect(await world.reads(record, BOTH, 'alias')).toBe(true);
      await world.maintain(BOTH);
      expect(await world.reads(record, BOTH, 'alias')).toBe(true);
    }
  });

  it("can read a record at every step if the regions' new key ARNs are configured one by one, each after a maintenance run", async () => {
    const world = await setUp(core, BOTH);
    const record = await world.seal('keyfold', BOTH);
    const arns = world.arns(BOTH, 'old');
    for (const region of BOTH) {
      await world.move([region]);
      await world.maintain(BOTH);
      expect(await world.readsWith(record, arns)).toBe(true);
      Object.assign(arns, world.arns([region], 'next'));
      expect(await world.readsWith(record, arns)).toBe(true);
    }
  });

  it('with one region can read a record at every step if a second region is configured while the alias moves', async () => {
    const world = await setUp(core, BOTH);
    const record = await world.seal('keyfold', [WEST]);
    await world.maintain(BOTH);
    expect(await world.reads(record, [WEST], 'alias')).toBe(true);
    expect(await world.reads(record, BOTH, 'alias')).toBe(true);
    await world.move([WEST]);
    expect(await world.reads(record, BOTH, 'alias')).toBe(true);
    await world.maintain(BOTH);
    expect(await world.reads(record, [WEST], 'alias')).toBe(true);
  });
});

it('Asherah Rust with a single KmsKeyId can read System Keys after maintenance has added a wrap for a second region', async () => {
  const world = await setUp('rust', BOTH, true);
  const record = await world.seal('asherah', [WEST]);
  await world.maintain(BOTH);
  expect(await world.reads(record, [WEST], 'alias')).toBe(true);
});

it('Asherah Rust with a single KmsKeyId reads System Keys with wraps for two regions until its alias moves to another key', async () => {
  const world = await setUp('rust', BOTH, true);
  const record = await world.seal('keyfold', BOTH);
  expect(await world.reads(record, [WEST], 'alias')).toBe(true);
  await world.move([EAST]);
  expect(await world.reads(record, [WEST], 'alias')).toBe(true);
  await world.move([WEST]);
  expect(await world.reads(record, [WEST], 'alias')).toBe(false);
  await world.maintain(BOTH);
  expect(await world.reads(record, [WEST], 'alias')).toBe(true);
});

/**
 * The ARN in a configuration: that of the old key, of the new key, or of the alias that moves from the old key to the
 * new one.
 */
type Named = 'alias' | 'old' | 'next';

interface Fixture {
  readonly arns: (regions: readonly string[], named: Named) => Record<string, string>;
  readonly seal: (maker: 'keyfold' | 'asherah', regions: readonly string[]) => Promise<string>;
  readonly move: (regions: readonly string[]) => Promise<void>;
  /** Runs maintenance in Keyfold, which is configured with aliases. The run must succeed. */
  readonly maintain: (regions: readonly string[]) => Promise<void>;
  /** Whether a cold Asherah process can read the record. */
  readonly reads: (record: string, regions: readonly string[], named: Named) => Promise<boolean>;
  readonly readsWith: (record: string, arns: Record<string, string>) => Promise<boolean>;
}

async function setUp(core: AsherahCore, regions: readonly string[], single = false): Promise<Fixture> {
  const table: SharedTable = await shareTable(dynamoDb.endpoint, { core });
  const keys = new Map(await Promise.all(regions.map(async (region) => [region, await makeKeys(region)] as const)));
  const arns: Fixture['arns'] = (of, named) =>
    Object.fromEntries(of.map((region) => [region, keys.get(region)?.[named] ?? '']));
  const asherah = (regionMap: Record<string, string>): ReturnType<SharedTable['asherah']> =>
    table.asherah({ environment: proxy.environment, regionMap, preferredRegion: WEST, single });
  const keyfold = (of: readonly string[]): AwsKms =>
    new AwsKms({ keys: arns(of, 'alias'), preferredRegion: WEST, endpoint: kms.endpoint });
  const readsWith: Fixture['readsWith'] = async (record, regionMap) => {
    await using peer = await asherah(regionMap);
    return await peer.decrypt('tenant', record).then(
      (payload) => payload.equals(PAYLOAD),
      () => false,
    );
  };
  return {
    arns,
    seal: async (maker, of) => {
      if (maker === 'keyfold')
        return table
          .keyfold({ kms: keyfold(of) })
          .session('tenant')
          .encryptToJson(PAYLOAD);
      await using peer = await asherah(arns(of, 'alias'));
      return await peer.encrypt('tenant', PAYLOAD);
    },
    move: async (of) => {
      for (const region of of) {
        const { alias = '', next } = keys.get(region) ?? {};
        const client = new KMSClient({ region, endpoint: kms.endpoint });
        const AliasName = alias.slice(alias.indexOf('alias/'));
        await client.send(new UpdateAliasCommand({ AliasName, TargetKeyId: next }));
      }
    },
    maintain: async (of) => {
      const maintenance = new SystemKeyMaintenance({ ...NAMES, kms: keyfold(of), metastore: table.metastore });
      const { systemKeys } = await maintenance.run();
      const states = systemKeys.flatMap(({ regions: all }) => all.map(({ opens, fault }) => [opens, fault]));
      expect(states).toEqual(of.map(() => [true, undefined]));
    },
    reads: (record, of, named) => readsWith(record, arns(of, named)),
    readsWith,
  };
}

async function makeKeys(region: string): Promise<Readonly<Record<Named, string>>> {
  const client = new KMSClient({ region, endpoint: kms.endpoint });
  const makeKey = async (): Promise<string> => (await client.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? '';
  const [old, next] = [await makeKey(), await makeKey()];
  const AliasName = `alias/replaced-${old.slice(-36)}`;
  await client.send(new CreateAliasCommand({ AliasName, TargetKeyId: old }));
  return { old, next, alias: old.replace(/key\/.*/, AliasName) };
}
