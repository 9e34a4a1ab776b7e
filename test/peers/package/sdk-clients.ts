/** Passes clients of the oldest supported version of the AWS SDK to every constructor that takes one. */
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { LambdaClient } from '@aws-sdk/client-lambda';
import { AwsKms, DynamoDbMetastore, SessionFactory, SystemKeyMaintenance } from 'keyfold';
import { KeyfoldClient } from 'keyfold/client';
import { LambdaTransport } from 'keyfold/client/lambda';

const region = 'us-west-2';
const ports = {
  kms: new AwsKms({
    keys: { [region]: `arn:aws:kms:${region}:111122223333:alias/keyfold` },
    preferredRegion: region,
    clients: (of) => new KMSClient({ region: of, maxAttempts: 1 }),
  }),
  metastore: new DynamoDbMetastore({ client: new DynamoDBClient({ region }) }),
};
const names = { service: 'orders', product: 'shop' };
const session = new SessionFactory({ ...names, ...ports }).session('tenant-1');
const text = await session.decryptText(await session.encryptText('hello'));
const { systemKeys } = await new SystemKeyMaintenance({ ...names, ...ports }).run();

const lambda = new LambdaTransport({
  functions: { seal: 'keyfold-seal', open: 'keyfold-open' },
  client: new LambdaClient({ region, maxAttempts: 1 }),
});
const tenant = new KeyfoldClient({ lambda }).partition('tenant-1');
const bytes = await tenant.decrypt(await tenant.encrypt(Buffer.from('hello')));
process.stdout.write([text, systemKeys[0]?.regions[0]?.opens, Buffer.from(bytes).toString()].join(' '));
