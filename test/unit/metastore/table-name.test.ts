import { expect, it } from 'vitest';
import { replicaIn } from '../../../src/metastore/dynamodb-options.ts';
import { isTableName, mayBeSameTable, nameOfTable, regionOfTable, tableIn } from '../../../src/metastore/table-name.ts';

const ARN = 'arn:aws:dynamodb:us-west-2:111122223333:table/Keys';

it.for([
  ['two equal names', 'Keys', 'Keys', true],
  ['two different names', 'Keys', 'Key', false],
  ['a name and its ARN', 'Keys', ARN, true],
  ['an ARN and its name', ARN, 'Keys', true],
  ['a name and the ARN of another table', 'Key', ARN, false],
  ['two equal ARNs', ARN, ARN, true],
  ['ARNs of two accounts', ARN, ARN.replace('1111', '9999'), false],
] as const)('mayBeSameTable says whether %s may be the same table: %s and %s (%s)', ([, one, other, same]) => {
  expect(mayBeSameTable(one, other)).toBe(same);
});

it('regionOfTable and nameOfTable read the region and the name from an ARN, but find no region in a name', () => {
  expect([regionOfTable(ARN), nameOfTable(ARN)]).toEqual(['us-west-2', 'Keys']);
  expect([regionOfTable('Keys'), nameOfTable('Keys')]).toEqual([undefined, 'Keys']);
  expect(tableIn('eu-west-1', ARN)).toBe(ARN.replace('us-west-2', 'eu-west-1'));
  expect(tableIn('eu-west-1', 'Keys')).toBe('Keys');
});

it.for([
  ['drops a VPC endpoint of the first region', 'https://vpce-1.dynamodb.us-west-2.vpce.amazonaws.com', {}],
  ['keeps the endpoint of an emulator', 'http://127.0.0.1:8000', { endpoint: 'http://127.0.0.1:8000' }],
  [
    "uses that region's FIPS endpoint",
    'https://dynamodb-fips.us-west-2.amazonaws.com',
    { endpoint: 'https://dynamodb-fips.us-east-1.amazonaws.com/' },
  ],
  [
    "uses that region's dual-stack endpoint",
    'https://dynamodb.us-west-2.api.aws',
    { endpoint: 'https://dynamodb.us-east-1.api.aws/' },
  ],
  [
    "uses the account's endpoint in that region",
    'https://111122223333.ddb.us-west-2.amazonaws.com',
    { endpoint: 'https://111122223333.ddb.us-east-1.amazonaws.com/' },
  ],
] as const)('replicaIn %s for the replica in another region', ([, endpoint, kept]) => {
  const replica = replicaIn('us-east-1', { tableName: ARN, region: 'us-west-2', endpoint });
  expect(replica).toStrictEqual({ tableName: tableIn('us-east-1', ARN), region: 'us-east-1', ...kept });
});

it.for([
  'abc',
  'x'.repeat(255),
  'A.b_c-9',
  ARN,
  ARN.replace('aws', 'aws-cn'),
  ARN.replace('aws', 'aws-us-gov').replace('us-west-2', 'us-gov-west-1'),
])('isTableName accepts %s', (text) => {
  expect(isTableName(text)).toBe(true);
});

it.for([
  'ab',
  'x'.repeat(256),
  'a/bc',
  'abc ',
  ` ${ARN}`,
  ARN.replace('dynamodb', 'kms'),
  ARN.replace('table/', 'stream/'),
  ARN.replace('111122223333', '11112222333'),
  ARN.replace('us-west-2', 'us~west'),
  ARN.replace('aws', 'azure'),
])('isTableName refuses "%s"', (text) => {
  expect(isTableName(text)).toBe(false);
});
