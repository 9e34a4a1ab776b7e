import { afterEach, expect, it } from 'vitest';
import { DynamoDbRows } from '../../../src/rows/dynamodb-rows.ts';
import { errorOf } from '../../support/fakes.ts';
import { startStub, type StubAnswer, type StubServer } from '../../support/stub-server.ts';

let stub: StubServer | undefined;

afterEach(() => stub?.stop());

const refusal = (name: string, status = 400): StubAnswer => ({ status, body: JSON.stringify({ __type: name }) });

it.for<[string, boolean, StubAnswer]>([
  ['throttles', true, refusal('ThrottlingException')],
  ['has too little capacity', true, refusal('ProvisionedThroughputExceededException')],
  ['is part of a transaction', true, refusal('TransactionConflictException')],
  ['is overwritten by another region', true, refusal('ReplicatedWriteConflictException')],
  ['has an internal error', true, refusal('InternalServerError', 500)],
  ['does not answer in time', true, refusal('RequestTimeout', 408)],
  ['is behind a proxy that fails', true, { status: 502, body: '<html>' }],
  ['breaks the connection', true, 'reset'],
  ['denies access', false, refusal('AccessDeniedException')],
  ['does not exist', false, refusal('ResourceNotFoundException')],
  ['does not recognise the credentials', false, refusal('UnrecognizedClientException')],
])(
  'DynamoDbRows says whether a retry may help if the table %s: %s',
  { timeout: 20_000 },
  async ([, mayPass, answer]) => {
    stub = await startStub(answer);
    const table = { tableName: 'Orders', region: 'us-west-2', endpoint: stub.url };
    const names = { partitionField: undefined, partition: undefined, context: undefined, contextFrom: undefined };
    const options = { ...names, table, fields: ['r'], segment: { index: 0, of: 1 }, readUnits: undefined };
    const rows = new DynamoDbRows({ ...options, writeUnits: undefined }, Date.now);
    expect(await errorOf(rows.pages(undefined).next())).toMatchObject({ name: 'SourceFault', mayPass });
  },
);
