/**
 * Tests the behaviour that docs/how-to/move-from-asherah.md describes for each implementation of Asherah, on a table
 * that it shares with Keyfold.
 */
import { CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { decodeDataRowRecord, type KeyMeta } from '../../src/index.ts';
import { noDeadline } from '../support/fakes.ts';
import { ASHERAHS } from './asherah.ts';
import { startKmsProxy, type KmsProxy } from './kms-proxy.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { shareTable, type SharedTable } from './shared-table.ts';

const PAYLOAD = Buffer.from('payload');
const WEST = 'us-west-2';
const EAST = 'us-east-1';
const HOUR_MS = 3_600_000;

let kms: KmsEmulator;
let dynamoDb: PeerServer;
let proxy: KmsProxy;
let regionMap: Readonly<Record<string, string>>;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDbLocal()]);
  proxy = await startKmsProxy(kms.endpoint, [WEST, EAST]);
  const made = [WEST, EAST].map(async (region) => {
    const client = new KMSClient({ region, endpoint: kms.endpoint });
    return [region, (await client.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? ''] as const;
  });
  regionMap = Object.fromEntries(await Promise.all(made));
});
afterAll(() => Promise.all([kms.close(), dynamoDb.stop(), proxy.stop()]));

describe.for(ASHERAHS)('Asherah %s', (core) => {
  it('refuses an empty partition, as Keyfold does (but Java accepts it)', async () => {
    const { asherah, keyfold } = await shareTable(dynamoDb.endpoint, { core });
    await using peer = await asherah();
    const record = await peer.encrypt('', PAYLOAD).catch(() => undefined);
    const id = record && decodeDataRowRecord(record).key.parent.id;
    expect(id).toBe(core === 'java' ? '_IK__svc_prod' : undefined);
    expect(() => keyfold().session('')).toThrow('The partition is empty.');
  });

  it.for([WEST, EAST])(
    'creates a System Key without a wrap for the failing region %s, or creates no key at all (Rust)',
    async (region) => {
      const table = await shareTable(dynamoDb.endpoint, { core });
      await using peer = await table.asherah({ environment: proxy.environment, regionMap, preferredRegion: WEST });
      kms.setFault(region, { kind: 'error', name: 'AccessDeniedException' });
      const record = await peer.encrypt('tenant', PAYLOAD).catch(() => undefined);
      kms.clearFaults();
      const regions = record === undefined ? undefined : await wrapsOver(table, record);
      expect(regions).toEqual(core === 'rust' ? undefined : [WEST, EAST].filter((other) => other !== region));
    },
  );

  it("opens another region's records (but not in Java if both regions' keys have the same date)", async () => {
    const { asherah, keyfold } = await shareTable(dynamoDb.endpoint, { core, regionSuffix: true });
    await using peer = await asherah();
    const { created } = decodeDataRowRecord(await peer.encrypt('tenant', PAYLOAD)).key.parent;
    const sealed = (regionSuffix: string, nowMs: number): Promise<string> =>
      keyfold({ regionSuffix, now: () => nowMs })
        .session('tenant')
        .encryptToJson(PAYLOAD);
    expect(await peer.decrypt('tenant', await sealed('eu-west-1', created * 1000 - HOUR_MS))).toEqual(PAYLOAD);
    const record = await sealed(EAST, created * 1000);
    expect(decodeDataRowRecord(record).key.parent.created).toBe(created);
    const opened = await peer.decrypt('tenant', record).catch(() => undefined);
    expect(opened).toEqual(core === 'java' ? undefined : PAYLOAD);
    await using cold = await asherah();
    expect(await cold.decrypt('tenant', record)).toEqual(PAYLOAD);
  });

  it('encrypts under a key that is dated in the future, but not under a revoked key', async () => {
    const { asherah, keyfold, change } = await shareTable(dynamoDb.endpoint, { core });
    const ahead = (await keyfold({ offsetMs: HOUR_MS }).session('tenant').encrypt(PAYLOAD)).key.parent as KeyMeta;
    await using before = await asherah();
    expect(decodeDataRowRecord(await before.encrypt('tenant', PAYLOAD)).key.parent).toEqual(ahead);
    await change(ahead, ({ KeyRecord }) => Object.assign(KeyRecord?.M ?? {}, { Revoked: { BOOL: true } }));
    await using after = await asherah();
    const { created } = decodeDataRowRecord(await after.encrypt('tenant', PAYLOAD)).key.parent;
    expect(created).toBeLessThanOrEqual(Date.now() / 1000);
  });
});

/** The regions that wrap a record's System Key. */
async function wrapsOver({ metastore }: SharedTable, record: string): Promise<string[]> {
  const { id, created } = decodeDataRowRecord(record).key.parent as KeyMeta;
  const system = (await metastore.load(id, created, noDeadline()))?.parent as KeyMeta;
  const row = await metastore.load(system.id, system.created, noDeadline());
  const { kmsKeks } = JSON.parse(String(row?.encryptedKey)) as { kmsKeks: { region: string }[] };
  return kmsKeks.map(({ region }) => region);
}
