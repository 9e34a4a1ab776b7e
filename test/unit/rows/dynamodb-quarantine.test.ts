import { createHash } from 'node:crypto';
import { afterEach, expect, it } from 'vitest';
import { DynamoDbQuarantine } from '../../../src/rows/dynamodb-quarantine.ts';
import { errorOf } from '../../support/fakes.ts';
import { startStub, type StubServer } from '../../support/stub-server.ts';

let stub: StubServer | undefined;

afterEach(() => stub?.stop());

const quarantineAt = (endpoint: string) =>
  new DynamoDbQuarantine({ tableName: 'Quarantine', region: 'us-west-2', endpoint });
const LONG_KEY = `{"id":"${'x'.repeat(2000)}"}`;

it('DynamoDbQuarantine stores the run, the key and the code of a row, even if the key is long', async () => {
  const bodies: { TableName: string; Item: Record<string, { S: string }> }[] = [];
  stub = await startStub(({ body }) => {
    bodies.push(JSON.parse(body) as (typeof bodies)[number]);
    return { status: 200, body: '{}' };
  });
  const quarantine = quarantineAt(stub.url);
  for (const row of [LONG_KEY, LONG_KEY, '{"id":"2"}'])
    await quarantine.add('run-1', { row, code: 'RecordUnreadable' });
  expect(bodies[0]).toEqual({
    TableName: 'Quarantine',
    Item: {
      Run: { S: 'run-1' },
      Row: { S: createHash('sha256').update(LONG_KEY).digest('hex') },
      Key: { S: LONG_KEY },
      Code: { S: 'RecordUnreadable' },
    },
  });
  const sortKeys = bodies.map(({ Item }) => Item['Row']?.S);
  expect(sortKeys[1]).toBe(sortKeys[0]);
  expect(sortKeys[2]).not.toBe(sortKeys[0]);
});

it.for([
  ['a retryable fault if its table throttles', 'ThrottlingException', true],
  ['a final fault if its table does not exist', 'ResourceNotFoundException', false],
] as const)('DynamoDbQuarantine throws %s', async ([, type, mayPass]) => {
  stub = await startStub({ status: 400, body: JSON.stringify({ __type: type }) });
  const fault = await errorOf(quarantineAt(stub.url).add('run-1', { row: '1', code: 'RecordUnreadable' }));
  expect(fault).toMatchObject({
    name: 'SourceFault',
    mayPass,
    message: expect.stringMatching(new RegExp(`^The table Quarantine fails: ${type}(?:: \\w+)?$`)) as string,
  });
});
