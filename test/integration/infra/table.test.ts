import { describe, expect, it } from 'vitest';
import { KEY_TABLE } from '../../../local/dynamodb.ts';
import { ACCOUNT, render } from './template.ts';

const REGION = 'us-west-2';

interface Replica {
  readonly Region: string;
}

function table(parameters: Record<string, string> = {}) {
  const { resources } = render('table', REGION, { Classification: 'confidential', ...parameters });
  const replicas = resources['Table']?.Properties['Replicas'] as Replica[];
  return { ...resources['Table'], replicas };
}

describe('the table stack', () => {
  it('has the key table with the primary key that the code uses, and with on-demand billing', () => {
    expect(table().Properties).toMatchObject({ TableName: 'EncryptionKey', ...KEY_TABLE });
  });

  it('keeps the table when the stack is deleted', () => {
    expect(table()).toMatchObject({ DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' });
  });

  it('has a protected replica with point-in-time recovery in each region', () => {
    expect(table().replicas.map(({ Region }) => Region)).toEqual([REGION]);
    const { replicas } = table({
      ReplicaRegion1: 'us-east-1',
      ReplicaRegion2: 'eu-west-1',
      ReplicaRegion3: 'eu-north-1',
    });
    expect(replicas.map(({ Region }) => Region)).toEqual([REGION, 'us-east-1', 'eu-west-1', 'eu-north-1']);
    for (const replica of replicas) {
      expect(replica).toMatchObject({
        DeletionProtectionEnabled: true,
        PointInTimeRecoverySpecification: { PointInTimeRecoveryEnabled: true },
        Tags: [{ Key: 'Classification', Value: 'confidential' }],
      });
      expect(replica).not.toHaveProperty('SSESpecification');
    }
    expect(table({ ReplicaRegion2: 'eu-west-1' }).replicas.map(({ Region }) => Region)).toEqual([REGION, 'eu-west-1']);
  });

  it('omits the policy of each replica that does not exist yet, because CloudFormation cannot create a replica and its policy in one update', () => {
    const regions = { ReplicaRegion1: 'us-east-1', ReplicaRegion2: 'eu-west-1', ReplicaRegion3: 'eu-north-1' };
    for (const [i, region] of Object.values(regions).entries()) {
      const { replicas } = table({ ...regions, [`ReplicaPolicy${i + 1}`]: 'false' });
      const bare = replicas.filter((replica) => !Object.hasOwn(replica, 'ResourcePolicy'));
      expect(bare.map(({ Region }) => Region)).toEqual([region]);
    }
  });

  it("encrypts each replica under the key to which a common alias points in the replica's region, or under DynamoDB's own key", () => {
    expect(table().Properties).toMatchObject({ SSESpecification: { SSEEnabled: false } });
    const own = table({ EncryptionKeyName: 'keyfold-table', ReplicaRegion1: 'us-east-1' });
    expect(own.Properties).toMatchObject({ SSESpecification: { SSEEnabled: true, SSEType: 'KMS' } });
    for (const replica of own.replicas) {
      const alias = `arn:aws:kms:${replica.Region}:${ACCOUNT}:alias/keyfold-table`;
      expect(replica).toMatchObject({ SSESpecification: { KMSMasterKeyId: alias } });
    }
  });
});
