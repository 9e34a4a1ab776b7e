/** Runs the state machine of infra/reencrypt.yml on moto's interpreter. Its workers are processes that are killed. */
import { fork } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { json } from 'node:stream/consumers';
import { CreateTableCommand, ScanCommand } from '@aws-sdk/client-dynamodb';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { close, listen } from '../../emulators/listen.ts';
import { render } from '../integration/infra/template.ts';
import { trial } from '../support/reencryption-trial.ts';
import { runStateMachine } from './step-functions.ts';
import { startDynamoDbStore } from './trial-stores.ts';

const SEGMENTS = 3;
/** A worker reads each segment in two pages. */
const ROWS = 6000;
/** The time that Lambda allows a worker. More than half of it has passed after one page, so the worker stops there. */
const REMAINING_MS = 1000;
const KILLS = 4;

let served: Awaited<ReturnType<typeof startDynamoDbStore>>;

beforeAll(async () => {
  served = await startDynamoDbStore();
});
afterAll(() => served.stop());

/** The definition of the state machine, as CloudFormation makes it from the template. */
function definition(): string {
  const { resources } = render('reencrypt', 'us-west-2', {
    RowsTableName: 'Customers',
    Fields: '["card"]',
    Verb: 'rewrap',
    Workers: String(SEGMENTS),
    Service: 'orders',
    Product: 'shop',
    KmsKeys: '{"us-west-2":"alias/keyfold"}',
    KeyRegions: 'us-west-2',
  });
  return resources['StateMachine']?.Properties['DefinitionString'] as string;
}

/** Lambda's Invoke API, which runs each worker in its own process and kills some of the processes. */
async function startLambda(env: NodeJS.ProcessEnv) {
  const seen = { killed: 0, continued: 0 };
  const server = createServer((request, response) => {
    void (async () => {
      const event = (await json(request)) as { position?: object };
      if (event.position !== undefined) seen.continued += 1;
      const child = fork(join(import.meta.dirname, 'reencrypt-worker.ts'), {
        env,
        stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      });
      child.send({ event, remainingMs: REMAINING_MS });
      if (seen.killed < KILLS) {
        seen.killed += 1;
        setTimeout(() => child.kill('SIGKILL'), 1000 + Math.random() * 2000);
      }
      const answered = once(child, 'message') as Promise<[{ answer?: object; errorType?: string }]>;
      const ended = once(child, 'exit').then(
        () => [{ errorType: 'Runtime.ExitError', errorMessage: 'signal: killed' }] as const,
      );
      const [{ answer, ...failure }] = (await Promise.race([answered, ended])) as [{ answer?: object }];
      child.kill('SIGKILL');
      response.writeHead(200, answer === undefined ? { 'x-amz-function-error': 'Unhandled' } : {});
      response.end(JSON.stringify(answer ?? failure));
    })();
  });
  const port = await listen(server, 0);
  return { url: `http://127.0.0.1:${port}`, seen, stop: () => close(server) };
}

it('a Distributed Map skips no row and loses no write, although its workers are killed', async () => {
  const { client, store, keyTable } = served;
  await client.send(
    new CreateTableCommand({
      TableName: 'Quarantine',
      BillingMode: 'PAY_PER_REQUEST',
      AttributeDefinitions: [
        { AttributeName: 'Run', AttributeType: 'S' },
        { AttributeName: 'Row', AttributeType: 'S' },
      ],
      KeySchema: [
        { AttributeName: 'Run', KeyType: 'HASH' },
        { AttributeName: 'Row', KeyType: 'RANGE' },
      ],
    }),
  );
  const result = await trial(store, keyTable, ROWS, async (environment) => {
    const lambda = await startLambda(environment);
    const execution = await runStateMachine(definition(), {}, { lambda: lambda.url, dynamoDb: keyTable });
    await lambda.stop();
    expect(execution).toMatchObject({ status: 'SUCCEEDED' });
    const counts = JSON.parse(execution.output ?? '') as { written: number; unchanged: number; quarantined: number }[];
    expect(counts).toHaveLength(SEGMENTS);
    // Rows that a killed worker has re-encrypted count as unchanged for the next worker.
    expect(counts.reduce((sum, one) => sum + one.written + one.unchanged + one.quarantined, 0)).toBe(ROWS);
    expect(lambda.seen.killed).toBe(KILLS);
    expect(lambda.seen.continued).toBeGreaterThanOrEqual(SEGMENTS);
    const { Items = [] } = await client.send(new ScanCommand({ TableName: 'Quarantine' }));
    return [Items.map(({ Key }) => Key?.S ?? '')];
  });
  expect(result.writes).toBeGreaterThan(100);
}, 400_000);
