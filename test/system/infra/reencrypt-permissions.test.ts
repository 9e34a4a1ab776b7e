/**
 * Compares the calls of re-encryption with the policy in docs/how-to/re-encrypt-rows.md and with the worker's role in
 * infra/reencrypt.yml. Each must allow every call, and nothing more.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CreateTableCommand, DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { functionEnvironment } from '../../../local/function-environment.ts';
import { LocalFunction } from '../../../local/local-function.ts';
import { encodeCompactRecord } from '../../../src/index.ts';
import { read } from '../../support/documents.ts';
import { HealthyService } from '../../support/healthy-service.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import {
  allowedOn,
  EAST,
  isAllowed,
  KEYS,
  REST,
  tableAt,
  WEST,
  WRITERS,
  type Principal,
  type Target,
} from '../../integration/infra/account.ts';
import { ACCOUNT, render } from '../../integration/infra/template.ts';

const ROWS = 'Customers';
const QUARANTINE = 'keyfold-reencrypt-quarantine';
const OTHER_TABLE = 'Orders';

let world: HealthyService;
let client: DynamoDBClient;
let folder: string;

beforeAll(async () => {
  world = await HealthyService.start();
  folder = await mkdtemp(join(tmpdir(), 'keyfold-reencrypt-permissions-'));
  client = new DynamoDBClient({ endpoint: world.proxy.endpoint, region: WEST, credentials: LOCAL_CREDENTIALS });
  for (const [TableName, key, range] of [[ROWS, 'id'] as const, [QUARANTINE, 'Run', 'Row'] as const]) {
    const names = range === undefined ? [key] : [key, range];
    await client.send(
      new CreateTableCommand({
        TableName,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: names.map((name) => ({ AttributeName: name, AttributeType: 'S' })),
        KeySchema: names.map((name, i) => ({ AttributeName: name, KeyType: i === 0 ? 'HASH' : 'RANGE' })),
      }),
    );
  }
});
afterAll(async () => {
  client.destroy();
  await world.stop();
  await rm(folder, { recursive: true });
});

/** Writes a row, as another program would. */
async function put(id: string, card: string): Promise<void> {
  const Item = { id: { S: id }, card: { S: card }, t: { S: 'tenant-1' } };
  await client.send(new PutItemCommand({ TableName: ROWS, Item }));
  // Remove this call from the recorded calls, because the test makes it, not the command.
  const { calls, tables } = world.proxy;
  const own = calls.findLastIndex((call, i) => call.startsWith('Put ') && tables[i] === ROWS);
  calls.splice(own, 1);
  tables.splice(own, 1);
}

/**
 * Writes three rows: a good one, one that goes to quarantine, and one that another writer changes before the command
 * writes it.
 */
beforeEach(async () => {
  const record = await world.sessions().session('tenant-1').encrypt(Buffer.from('x'));
  const text = encodeCompactRecord(record, 'bytes') ?? '';
  world.operator.clock.advance(120_000);
  await world.operator.keyfold(['keys', 'rotate', '--partition', 'tenant-1'], world.settings);
  await put('good', text);
  await put('bad', 'kf1.x');
  await put('new', 'plaintext');
  let isOvertaken = false;
  world.proxy.faultOf = (call) => {
    if (!call.startsWith('Update') || isOvertaken) return world.answerOf(call);
    isOvertaken = true;
    return {
      kind: 'overtaken',
      by: async () => {
        await put('good', 'written meanwhile');
        await put('new', 'written meanwhile');
      },
    };
  };
  reset();
});

/** Forgets the calls made so far, which only prepared the test. */
function reset(): void {
  world.proxy.calls = [];
  world.proxy.tables = [];
}

function tableCalls(): { action: string; table: string }[] {
  return world.proxy.calls.map((call, i) => {
    const [name = ''] = call.split(' ');
    const action = `dynamodb:${/^(?:Get|Put|Update|Delete)$/.test(name) ? `${name}Item` : name}`;
    return { action, table: world.proxy.tables[i] ?? '' };
  });
}

/** The distinct calls to each table. */
function calledOn(name: string): string[] {
  const calls = tableCalls().filter((call) => call.table === name);
  return [...new Set(calls.map(({ action }) => action))].toSorted();
}

/** A resource in the account. */
function at(service: string, name: string): Target {
  return { arn: `arn:aws:${service}:${WEST}:${ACCOUNT}:${name}` };
}

function table(name: string): Target {
  return at('dynamodb', `table/${name}`);
}

it('the policy in docs/how-to/re-encrypt-rows.md allows exactly the calls that keyfold reencrypt makes to the table', async () => {
  const run = ['reencrypt', `dynamodb:${ROWS}`, '--field', 'card', '--verb', 'seal', '--partition-field', 't'];
  const quarantine = ['--quarantine', join(folder, 'quarantine')];
  const { code, stderr } = await world.operator.keyfold([...run, ...quarantine], world.settings);
  expect([code, stderr]).toEqual([1, expect.stringContaining('"outcome":"done"')]);
  const [, json = ''] = /```json\n(\{[^]*?\n\})\n```/.exec(read('docs/how-to/re-encrypt-rows.md')) ?? [];
  const operator: Principal = { arn: `arn:aws:iam::${ACCOUNT}:role/operator`, policies: [JSON.parse(json)] };
  expect(await allowedOn(operator, table(ROWS))).toEqual(calledOn(ROWS));
  expect(await allowedOn(operator, table(OTHER_TABLE))).toEqual([]);
});

it('keyfold verify calls only DescribeTable and Scan on the table', async () => {
  const { code } = await world.operator.keyfold(['verify', `dynamodb:${ROWS}`, '--field', 'card'], world.settings);
  // One row holds plaintext.
  expect(code).toBe(1);
  expect(calledOn(ROWS)).toEqual(['dynamodb:DescribeTable', 'dynamodb:Scan']);
});

const STACK = render('reencrypt', WEST, {
  RowsTableName: ROWS,
  Fields: '["card"]',
  Verb: 'seal',
  Service: 'orders',
  Product: 'shop',
  KmsKeys: '{"us-west-2":"alias/keyfold"}',
  KeyRegions: `${WEST},${EAST}`,
}).resources;

/** The policies of a role in the stack. References to the stack's own table become its ARN. */
function policiesOf(role: string): unknown[] {
  const policies = STACK[role]?.Properties['Policies'] as { PolicyDocument: object }[];
  const text = JSON.stringify(policies.map(({ PolicyDocument }) => PolicyDocument));
  return JSON.parse(text.replaceAll('"Quarantine.Arn"', JSON.stringify(table(QUARANTINE).arn))) as unknown[];
}

/** The role of the workers. */
function workerRole(): Principal {
  // The table's policy names this role. docs/how-to/re-encrypt-rows.md says to name the worker's role there.
  return { arn: WRITERS['a role of another deployment whose names are given'].arn, policies: policiesOf('WorkerRole') };
}

/** Runs a worker over the table, in its own thread. Returns its response. */
async function work(members: object, environment: Record<string, string>): Promise<unknown> {
  const worker = new LocalFunction(new URL('../../../handlers/reencrypt.ts', import.meta.url).href, {
    ...functionEnvironment({ kms: world.kms.endpoint, dynamoDb: world.proxy.endpoint, keys: world.keys }),
    KEYFOLD_SERVICE: 'orders',
    KEYFOLD_PRODUCT: 'shop',
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    ...environment,
  });
  const event = { table: ROWS, fields: ['card'], quarantineTable: QUARANTINE, run: 'run', segment: 0, segments: 1 };
  const answer = await worker.invoke({ ...event, ...members, startedAt: new Date().toISOString() }, 60_000);
  await worker.recycle();
  return answer;
}

it("the worker's role allows exactly the calls that the worker makes", async () => {
  world.kms.resetCalls();
  // The second service has no keys, so its worker also makes the calls that create keys.
  for (const service of ['orders', 'newborn']) {
    expect(await work({ verb: 'seal', partitionField: 't' }, { KEYFOLD_SERVICE: service })).toMatchObject({
      done: true,
    });
    await put('new', 'plaintext');
  }
  const role = workerRole();
  expect(await allowedOn(role, table(ROWS))).toEqual(calledOn(ROWS));
  expect(await allowedOn(role, table(QUARANTINE))).toEqual(calledOn(QUARANTINE));
  expect(await allowedOn(role, tableAt(WEST, '_SK_orders_shop'))).toEqual(calledOn('EncryptionKey'));
  const kmsCalls = [...new Set(world.kms.calls().map(({ action }) => `kms:${action}`))].toSorted();
  expect(await allowedOn(role, KEYS['the key'])).toEqual(kmsCalls);
  expect(await allowedOn(role, KEYS['a retired key'])).toEqual(['kms:Decrypt']);
  for (const target of [
    table(OTHER_TABLE),
    REST['a row of another service'],
    REST['a function'],
    KEYS["another service's key"],
  ])
    expect([target.arn, await allowedOn(role, target)]).toEqual([target.arn, []]);
  expect(await isAllowed(role, 'dynamodb:PutItem', tableAt(EAST, '_SK_orders_shop'))).toBe(false);
});

/** A state of a state machine. A state of type Map contains other states. */
interface State {
  readonly Type: string;
  readonly Resource?: string;
  readonly Parameters?: { readonly FunctionName?: string };
  readonly ItemProcessor?: { readonly ProcessorConfig?: { readonly Mode?: string }; readonly States: States };
}
type States = Readonly<Record<string, State>>;

function* statesIn(states: States): Iterable<State> {
  for (const state of Object.values(states)) {
    yield state;
    if (state.ItemProcessor !== undefined) yield* statesIn(state.ItemProcessor.States);
  }
}

it("the state machine's role allows exactly what the machine needs: to invoke the worker, and to run the items of the machine's map", async () => {
  const role: Principal = { arn: `arn:aws:iam::${ACCOUNT}:role/machine`, policies: policiesOf('StateMachineRole') };
  const { StateMachineName, DefinitionString } = STACK['StateMachine']?.Properties ?? {};
  const { States } = JSON.parse(String(DefinitionString)) as { readonly States: States };
  const all = [...statesIn(States)];
  const tasks = all.filter(({ Type }) => Type === 'Task');
  expect(tasks.map(({ Resource, Parameters }) => [Resource, Parameters?.FunctionName])).toEqual([
    ['arn:aws:states:::lambda:invoke', STACK['Worker']?.Properties['FunctionName']],
  ]);
  expect(
    all.filter(({ Type }) => Type === 'Map').map(({ ItemProcessor }) => ItemProcessor?.ProcessorConfig?.Mode),
  ).toEqual(['DISTRIBUTED']);

  const own = String(StateMachineName);
  expect(await allowedOn(role, at('lambda', `function:${own}`))).toEqual(['lambda:InvokeFunction']);
  // AWS documents these actions for a Distributed Map, which runs each item in a separate execution.
  expect(await allowedOn(role, at('states', `stateMachine:${own}`))).toEqual(['states:StartExecution']);
  const following = ['states:DescribeExecution', 'states:StopExecution'];
  for (const execution of [`execution:${own}:run`, `execution:${own}/map:item`])
    expect([execution, await allowedOn(role, at('states', execution))]).toEqual([execution, following]);
  for (const target of [
    at('lambda', `function:${own}-other`),
    at('states', `stateMachine:${own}-other`),
    at('states', `execution:${own}-other:run`),
    table(ROWS),
    table(QUARANTINE),
    tableAt(WEST, '_SK_orders_shop'),
    KEYS['the key'],
    REST['what has no ARN'],
  ])
    expect([target.arn, await allowedOn(role, target)]).toEqual([target.arn, []]);
});

it('a worker binds a record without a proof only if the key of the record was created before KEYFOLD_UNBOUND_BEFORE', async () => {
  world.proxy.faultOf = (call) => world.answerOf(call);
  const run = { verb: 'reseal', contextFrom: { id: 'id' } };
  expect(await work(run, {})).toMatchObject({ counts: { written: 0, quarantined: 3 } });
  const migration = { KEYFOLD_UNBOUND_BEFORE: '9999-12-31T00:00:00Z' };
  expect(await work(run, migration)).toMatchObject({ counts: { written: 1, quarantined: 2 } });
});
