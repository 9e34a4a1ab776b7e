import { inspect } from 'node:util';
import type { InvokeCommand, LambdaClient } from '@aws-sdk/client-lambda';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KeyfoldClient } from '../../../src/client/index.ts';
import { LambdaTransport } from '../../../src/client/lambda.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { errorOf, FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, openDoor, request } from '../../support/http-door.ts';
import { DEAD_LETTERS, FakeQueues, openQueueDoor, queueRecord } from '../../support/queue-door.ts';

const CANARY = 'CANARY-of-a-context';
const HOME = { table: 'users', id: CANARY };
const WRONG = { table: `another ${CANARY}`, id: '1' };
/**
 * Contexts that are refused. In the first three, the value is too long, not a string, or contains half a surrogate
 * pair. The last two are not objects.
 */
const MALFORMED = [{ id: CANARY.repeat(60) }, { id: [CANARY] }, { id: `${CANARY}\ud800` }, CANARY, [CANARY]];
const DOCUMENT = { id: CANARY, more: [CANARY], ssn: '1' };
const FIELDS = { fields: ['$.ssn'], contextFrom: { id: '$.id' } };
const UNREADABLE_FIELDS = { fields: ['$.ssn'], contextFrom: { id: '$.more' } };

let output: ReturnType<typeof captureOutput>;
beforeEach(() => {
  // At this log level, the log shows the most detail.
  vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'DEBUG');
  output = captureOutput();
});
afterEach(() => {
  vi.unstubAllEnvs();
  vi.restoreAllMocks();
});

/**
 * The operations and bodies that the tests send to each door that accepts requests. `sealed` is a record that is bound
 * to `HOME`.
 */
function requests(sealed: unknown): [operation: string, body: object][] {
  const batch = [{ record: sealed, context: WRONG }, { record: sealed, context: MALFORMED[0] }, { record: sealed }];
  return [
    ['decrypt', { record: sealed, context: HOME }],
    ['decrypt', { record: sealed, context: WRONG }],
    ['decrypt', { record: sealed }],
    ['decrypt', { record: sealed, context: HOME, path: `$['${CANARY}']` }],
    ['rewrap', { record: sealed, context: HOME }],
    ['decrypt-batch', { items: batch }],
    ['encrypt-fields', { documentText: JSON.stringify(DOCUMENT), ...UNREADABLE_FIELDS }],
    ['encrypt-fields', { documentText: JSON.stringify(DOCUMENT), ...FIELDS, context: HOME }],
    ...MALFORMED.map((context): [string, object] => ['encrypt', { plaintext: 'aGk=', context }]),
  ];
}

/** Checks that neither the log, nor the metrics, nor the responses to callers contain a context value. */
function mustNotTell(answers: readonly unknown[]): void {
  const logged = output.text();
  vi.restoreAllMocks();
  expect(logged).toContain('"context":true');
  for (const text of [logged, ...answers.map((answer) => inspect(answer, { depth: Infinity }))]) {
    expect(text).not.toContain(CANARY);
    expect(text).not.toContain(Buffer.from(CANARY).toString('hex'));
  }
}

it('the handler of HTTP requests shows no context value in its logs or responses', async () => {
  const send = openDoor();
  const { body } = await send(request('encrypt', { plaintext: 'aGk=', context: HOME }));
  const { record } = body as { record: unknown };
  const answers = [];
  for (const [operation, asked] of requests(record)) answers.push(await send(request(operation, asked)));
  expect(new Set(answers.map(({ status }) => status))).toEqual(new Set([200, 400, 422]));
  mustNotTell(answers);
});

it('the handler of direct invocations shows no context value in its logs or responses', async () => {
  const invoke = openDirectDoor();
  const { payload = '' } = await invoke({ operation: 'encrypt', partition: 'p', plaintext: 'aGk=', context: HOME });
  const { record } = JSON.parse(payload) as { record: unknown };
  const answers = [];
  for (const [operation, asked] of requests(record))
    answers.push(await invoke({ operation, partition: 'p', ...asked }));
  expect(new Set(answers.map(({ error }) => error?.errorType))).toEqual(
    new Set([undefined, 'RecordUnreadable', 'ContextRequired', 'InvalidRequest']),
  );
  mustNotTell(answers);
});

it('the handler of queue messages shows no context value in its logs or in the attributes of a dead letter', async () => {
  const queues = new FakeQueues();
  const send = openQueueDoor({ queues });
  const message = { partition: 'p', document: DOCUMENT };
  const bodies = [
    { ...message, ...FIELDS, context: { table: CANARY } },
    { ...message, ...UNREADABLE_FIELDS },
    ...MALFORMED.map((context) => ({ ...message, fields: ['$.ssn'], context })),
  ];
  for (const [i, body] of bodies.entries()) await send([queueRecord(`m${i}`, body)]);
  const letters = queues.in(DEAD_LETTERS);
  expect(letters).toHaveLength(1 + MALFORMED.length);
  mustNotTell(letters.map(({ attributes }) => attributes));
});

it('the client shows no context value in its errors', async () => {
  const world = new FakeDependencies();
  const invoke = openDirectDoor({ world });
  const lambda = {
    config: { serviceId: 'Lambda', maxAttempts: async () => 1, credentials: async () => ({}) },
    send: async ({ input }: InvokeCommand) => {
      const { payload, error } = await invoke(Buffer.from(input.Payload as Uint8Array).toString());
      return {
        Payload: Buffer.from(payload ?? JSON.stringify(error)),
        FunctionError: error && 'Unhandled',
        $metadata: {},
      };
    },
  } as unknown as LambdaClient;
  const transport = new LambdaTransport({ functions: { seal: 'seal', open: 'open' }, client: lambda });
  const partition = new KeyfoldClient({ lambda: transport }).partition('p');
  const record = await partition.encrypt(Buffer.from('hi'), { context: HOME });
  const refusals = [
    partition.decrypt(record, { context: WRONG }),
    partition.decrypt(record),
    partition.encryptFields({ document: DOCUMENT, ...UNREADABLE_FIELDS }),
    ...MALFORMED.map((context) => partition.encrypt(Buffer.from('hi'), { context: context as never })),
  ];
  const errors = await Promise.all(refusals.map(errorOf));
  const items = await partition.decryptBatch([{ record, context: WRONG }, record]);
  expect(items).toMatchObject([{ code: 'RecordUnreadable' }, { code: 'ContextRequired' }]);
  mustNotTell([...errors, ...items]);
});
