import { randomUUID } from 'node:crypto';
import { CreateAliasCommand, CreateKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createKeyTable } from '../../local/dynamodb.ts';
import { startKmsEmulator } from '../../local/kms-emulator/kms-emulator.ts';
import { AwsKms, decodeDataRowRecord, DynamoDbMetastore, SessionFactory } from '../../src/index.ts';
import { startAsherah } from './asherah.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, startMoto, type PeerServer } from './processes.ts';

const PAYLOAD = Buffer.from('payload');
const names = { service: 'svc', product: 'prod' };

async function startOurs(): Promise<PeerServer> {
  const { endpoint, close } = await startKmsEmulator();
  return { endpoint, stop: close };
}

describe.for([
  { name: 'our emulator', start: startOurs },
  { name: 'moto', start: startMoto },
])('with Asherah Rust and AWS KMS as $name speaks it', ({ start }) => {
  let kms: PeerServer;
  let dynamoDb: PeerServer;
  let tables = 0;

  beforeAll(async () => {
    [kms, dynamoDb] = await Promise.all([start(), startDynamoDbLocal()]);
  });
  afterAll(() => Promise.all([kms.stop(), dynamoDb.stop()]));

  it.for([
    { regions: ['us-west-2', 'us-east-1'], named: 'key' },
    { regions: ['us-west-2', 'us-east-1', 'eu-west-1'], named: 'key' },
    { regions: ['us-west-2', 'us-east-1'], named: 'alias' },
  ] as const)(
    'each opens in every one of $regions, told by $named ARNs, what the other wrapped in all',
    async ({ regions, named }) => {
      const keys = Object.fromEntries(
        await Promise.all(regions.map(async (region) => [region, await makeKey(region, named)])),
      );
      for (const first of ['asherah', 'keyfold']) {
        const tableName = `Keys${(tables += 1)}`;
        await createKeyTable(dynamoDb.endpoint, tableName);
        const records: string[] = [];
        for (const region of regions) {
          // All regions are configured where the keys are made, and one alone where they are opened.
          const own = records.length === 0 ? keys : { [region]: keys[region] };
          const asherah = await startAsherah({
            core: 'rust',
            ...names,
            tableName,
            dynamoDbEndpoint: dynamoDb.endpoint,
            region: AWS_ENVIRONMENT.AWS_REGION,
            regionSuffix: false,
            kms: { endpoint: kms.endpoint, regionMap: own, preferredRegion: region },
          });
          const session = keyfold(tableName, own, region).session('tenant');
          const encryptors = [async () => asherah.encrypt('tenant', PAYLOAD), () => session.encryptToJson(PAYLOAD)];
          if (first === 'keyfold') encryptors.reverse();
          for (const encrypt of encryptors) records.push(await encrypt());
          for (const record of records) {
            expect(await session.decryptJson(record)).toEqual(PAYLOAD);
            expect(await asherah.decrypt('tenant', record)).toEqual(PAYLOAD);
          }
          await asherah.stop();
        }
        const parents = records.map((record) => decodeDataRowRecord(record).key.parent);
        expect(new Set(parents.map((parent) => `${parent.id} ${parent.created}`)).size).toBe(1);
      }
    },
  );

  function keyfold(tableName: string, keys: Record<string, string>, preferredRegion: string): SessionFactory {
    return new SessionFactory({
      ...names,
      metastore: new DynamoDbMetastore({ tableName, endpoint: dynamoDb.endpoint, region: AWS_ENVIRONMENT.AWS_REGION }),
      kms: new AwsKms({ keys, preferredRegion, endpoint: kms.endpoint }),
    });
  }

  /** The ARN of a new key, or of an alias of it. */
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
