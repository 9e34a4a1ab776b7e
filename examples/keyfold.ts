/** The session factory that the TypeScript examples use. A process needs only one, which holds the key cache. */
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
