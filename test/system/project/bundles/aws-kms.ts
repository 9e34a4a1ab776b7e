import { AwsKms, DynamoDbMetastore, SessionFactory } from 'keyfold';
const keys = { 'us-west-2': 'arn:aws:kms:us-west-2:111122223333:alias/keyfold' };
const ports = { kms: new AwsKms({ keys, preferredRegion: 'us-west-2' }), metastore: new DynamoDbMetastore() };
const session = new SessionFactory({ service: 'orders', product: 'shop', ...ports }).session('tenant-1');
void session.encryptText('hello').then(async (record) => process.stdout.write(await session.decryptText(record)));
