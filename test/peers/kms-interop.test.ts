import { randomUUID } from 'node:crypto';
import { CreateAliasCommand, CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { AwsKms, decodeDataRowRecord } from '../../src/index.ts';
import { ASHERAHS } from './asherah.ts';
import { startKmsProxy, type KmsProxy } from './kms-proxy.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, startMoto, type PeerServer } from './processes.ts';
import { shareTable } from './shared-table.ts';

const PAYLOAD = Buffer.from('payload');
const WEST = 'us-west-2';
const REGIONS = [WEST, 'us-east-1', 'eu-west-1'];
/** Every implementation, with each kind of ARN that it accepts for KMS keys. */
const CASES = ASHERAHS.flatMap((core) => [
  { core, regions: core === 'java' ? REGIONS.slice(0, 2) : REGIONS, named: 'key' as const },
  { core, regions: REGIONS.slice(0, 2), named: 'alias' as const },
]);

async function startOurs(): Promise<PeerServer> {
  const { endpoint, close } = await startKmsEmulator();
  return { endpoint, stop: close };
}

describe.for([
  { name: 'our emulator', start: startOurs },
  { name: 'moto', start: startMoto },
])('the KMS of $name', ({ start }) => {
  let kms: PeerServer;
  let dynamoDb: PeerServer;
  let proxy: KmsProxy;

  beforeAll(async () => {
    Object.assign(process.env, AWS_ENVIRONMENT);
    [kms, dynamoDb] = await Promise.all([start(), startDynamoDbLocal()]);
    proxy = await startKmsProxy(kms.endpoint, REGIONS);
  });
  afterAll(() => Promise.all([kms.stop(), dynamoDb.stop(), proxy.stop()]));

  it.for(CASES)(
    "lets Asherah $core and Keyfold read each other's keys in every region ($named ARNs)",
    async ({ core, regions, named }) => {
      const made = regions.map(async (region) => [region, await makeKey(region, named)] as const);
      const keys = Object.fromEntries(await Promise.all(made));
      for (const first of ['asherah', 'keyfold']) {
        const table = await shareTable(dynamoDb.endpoint, { core });
        const records: string[] = [];
        for (const region of regions) {
          // The writer has the keys of all regions. The reader has the key of only one region.
          const own = records.length === 0 ? keys : { [region]: keys[region] ?? '' };
          await using asherah = await table.asherah({
            environment: proxy.environment,
            regionMap: own,
            preferredRegion: region,
          });
          const ours = new AwsKms({ keys: own, preferredRegion: region, endpoint: kms.endpoint });
          const session = table.keyfold({ kms: ours }).session('tenant');
          const encryptors = [async () => asherah.encrypt('tenant', PAYLOAD), () => session.encryptToJson(PAYLOAD)];
          if (first === 'keyfold') encryptors.reverse();
          for (const encrypt of encryptors) records.push(await encrypt());
          for (const record of records) {
            expect(await session.decryptJson(record)).toEqual(PAYLOAD);
            expect(await asherah.decrypt('tenant', record)).toEqual(PAYLOAD);
          }
        }
        const parents = records.map((record) => decodeDataRowRecord(record).key.parent);
        expect(new Set(parents.map((parent) => `${parent.id} ${parent.created}`)).size).toBe(1);
      }
    },
  );

  it("lets Asherah Rust with a single KmsKeyId and Keyfold read each other's keys", async () => {
    const regionMap = { [WEST]: await makeKey(WEST, 'key') };
    const single = { environment: proxy.environment, regionMap, preferredRegion: WEST, single: true };
    const ours = new AwsKms({ keys: regionMap, preferredRegion: WEST, endpoint: kms.endpoint });
    for (const first of ['asherah', 'keyfold']) {
      const { asherah, keyfold } = await shareTable(dynamoDb.endpoint, { core: 'rust' });
      await using peer = await asherah(single);
      const session = keyfold({ kms: ours }).session('tenant');
      const encryptors = [async () => peer.encrypt('tenant', PAYLOAD), () => session.encryptToJson(PAYLOAD)];
      if (first === 'keyfold') encryptors.reverse();
      for (const encrypt of encryptors) {
        const record = await encrypt();
        expect(await session.decryptJson(record)).toEqual(PAYLOAD);
        expect(await peer.decrypt('tenant', record)).toEqual(PAYLOAD);
      }
    }
  });

  /** Makes a key, and returns its ARN or the ARN of an alias for it. */
  async function makeKey(region: string, named: 'key' | 'alias'): Promise<string> {
    const client = new KMSClient({ region, endpoint: kms.endpoint });
    const { KeyMetadata } = await client.send(new CreateKeyCommand({}));
    const arn = KeyMetadata?.Arn ?? '';
    if (named === 'key') return arn;
    const AliasName = `alias/interop-${randomUUID()}`;
    await client.send(new CreateAliasCommand({ AliasName, TargetKeyId: arn }));
    return arn.replace(/key\/.*/, AliasName);
  }
});
