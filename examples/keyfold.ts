/** What the examples in TypeScript share: one factory of sessions per process, because it holds the cache of keys. */
import { AwsKms, DynamoDbMetastore, SessionFactory } from 'keyfold';

const { AWS_REGION = 'us-west-2', KMS_KEYS = '{}' } = process.env;

export const keyfold = new SessionFactory({
  service: 'orders',
  product: 'shop',
  regionSuffix: AWS_REGION,
  // KMS_KEYS is JSON with an ARN for each region: {"us-west-2":"arn:aws:kms:…","us-east-1":"arn:aws:kms:…"}
  kms: new AwsKms({ keys: JSON.parse(KMS_KEYS) as Record<string, string>, preferredRegion: AWS_REGION }),
  metastore: new DynamoDbMetastore({ tableName: 'EncryptionKey' }),
});
