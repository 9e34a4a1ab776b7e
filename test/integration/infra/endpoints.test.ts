/** Compares the policies of the VPC endpoints with the roles of the functions that call through them. */
import { aws_ec2 } from 'aws-cdk-lib';
import { afterAll, expect, it } from 'vitest';
import { removeOutputs, stackOf } from '../../support/cdk.ts';
import { ACCOUNT, render } from './template.ts';

interface Statement {
  readonly Effect: string;
  readonly Action: string | readonly string[];
}

const PARAMETERS = {
  VpcId: 'vpc-0123456789abcdef0',
  SubnetIds: 'subnet-0123456789abcdef0',
  RouteTableIds: 'rtb-0123456789abcdef0',
  DynamoDbPrefixListId: 'pl-0123456789abcdef0',
  OtherKmsRegion1: 'us-east-1',
  HasQueue: 'true',
};
const OTHERS = { OtherKmsRegion2: 'eu-west-1', OtherKmsRegion3: 'ap-southeast-2' };
/** The actions that Lambda performs from outside the VPC, under the role of the queue function. */
const BY_LAMBDA: ReadonlySet<string> = new Set(['sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage']);

afterAll(removeOutputs);

const { resources } = render('endpoints', 'us-west-2', { ...PARAMETERS, ...OTHERS });

function actionsOf(statements: readonly Statement[], service: string): string[] {
  const actions = statements.flatMap(({ Action }) => Action).filter((action) => action.startsWith(`${service}:`));
  return [...new Set(actions)].toSorted();
}

const ofRoles = Object.values(
  render('roles', 'us-west-2', {
    KeyRegions: 'us-west-2,us-east-1',
    Service: 'orders',
    Product: 'shop',
    InputQueueName: 'keyfold-input',
    InVpc: 'true',
  }).resources,
).flatMap(({ Properties }) => {
  const policies = (Properties['Policies'] ?? []) as { PolicyDocument: { Statement: Statement[] } }[];
  return policies.flatMap(({ PolicyDocument }) => PolicyDocument.Statement);
});

it.for([
  ['KmsEndpoint', 'kms', `arn:aws:kms:us-west-2:${ACCOUNT}:key/*`],
  ['OtherKmsEndpoint1', 'kms', `arn:aws:kms:us-east-1:${ACCOUNT}:key/*`],
  ['OtherKmsEndpoint2', 'kms', `arn:aws:kms:eu-west-1:${ACCOUNT}:key/*`],
  ['OtherKmsEndpoint3', 'kms', `arn:aws:kms:ap-southeast-2:${ACCOUNT}:key/*`],
  ['DynamoDbEndpoint', 'dynamodb', `arn:aws:dynamodb:us-west-2:${ACCOUNT}:table/EncryptionKey`],
  ['SqsEndpoint', 'sqs', `arn:aws:sqs:us-west-2:${ACCOUNT}:*`],
] as const)("%s lets only the functions' roles make their %s calls", ([name, service, resource]) => {
  const actions = actionsOf(ofRoles, service).filter((action) => !BY_LAMBDA.has(action));
  expect(resources[name]?.Properties['PolicyDocument']).toEqual({
    Version: '2012-10-17',
    Statement: [
      {
        Effect: 'Allow',
        Principal: '*',
        Action: actions,
        Resource: resource,
        Condition: { ArnLike: { 'aws:PrincipalArn': `arn:aws:iam::${ACCOUNT}:role/keyfold-roles-*` } },
      },
    ],
  });
});

it('each endpoint for a service in another region names that region', () => {
  const regions = Object.values(resources).flatMap(({ Properties: { ServiceName, ServiceRegion } }) =>
    ServiceRegion === undefined ? [] : [[ServiceName, ServiceRegion]],
  );
  expect(regions).toEqual([
    ['com.amazonaws.us-east-1.kms', 'us-east-1'],
    ['com.amazonaws.eu-west-1.kms', 'eu-west-1'],
    ['com.amazonaws.ap-southeast-2.kms', 'ap-southeast-2'],
  ]);
});

it('the endpoints stack has no endpoint for SQS or another region unless a parameter requests such an endpoint', () => {
  const { OtherKmsRegion1: _, HasQueue: __, ...least } = PARAMETERS;
  const types = Object.entries(render('endpoints', 'us-west-2', least).resources)
    .filter(([, { Type }]) => Type === 'AWS::EC2::VPCEndpoint')
    .map(([name]) => name);
  expect(types).toEqual(['DynamoDbEndpoint', 'KmsEndpoint']);
});

it.for(['us-west-2', 'us-gov-west-1', 'cn-north-1', 'cn-northwest-1'])(
  'the endpoints stack uses the same service names in %s as the CDK',
  (region) => {
    const stack = stackOf('names', { account: ACCOUNT, region });
    const nameOf = (service: string): unknown =>
      stack.resolve(new aws_ec2.InterfaceVpcEndpointAwsService(service).name);
    const there = render('endpoints', region, PARAMETERS).resources;
    expect(there['KmsEndpoint']?.Properties['ServiceName']).toBe(nameOf('kms'));
    expect(there['SqsEndpoint']?.Properties['ServiceName']).toBe(nameOf('sqs'));
    expect(there['DynamoDbEndpoint']?.Properties['ServiceName']).toBe(nameOf('dynamodb'));
  },
);
