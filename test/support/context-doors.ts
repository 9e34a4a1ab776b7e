/** Sends one request through each door of Keyfold, so that one table of attacks can run against all of them. */
import { vi } from 'vitest';
import { KeyfoldClientError, serviceError } from '../../src/client/errors.ts';
import { PartitionClient } from '../../src/client/partition.ts';
import { retryPolicy } from '../../src/client/retry.ts';
import {
  decodeCompactRecord,
  decodeDataRowRecord,
  decryptBatch,
  decryptFields,
  encodeDataRowRecord,
  encryptBatch,
  encryptFields,
  KeyfoldError,
  type DataRowRecord,
  type Session,
} from '../../src/index.ts';
import type { ContextRules } from '../../src/envelope/context-rules.ts';
import { openDirectDoor } from './direct-door.ts';
import type { FakeDependencies } from './fakes.ts';
import { openDoor, request } from './http-door.ts';
import { DEAD_LETTERS, FakeQueues, openQueueDoor, OUTPUT, queueRecord } from './queue-door.ts';

/** The members of an answer that tests read. */
type Answer = Record<string, unknown>;

/** Sends the exact JSON text of a request for the partition `p`. Returns the answer, or the code of the error. */
export type Send = (operation: string, members: string) => Promise<Answer | string>;

/** Opens a door of a cold process. */
export type OpenDoor = (world: FakeDependencies, rules?: ContextRules) => Send;

/** Opens a door whose process has the given rules. */
function withRules<T>(world: FakeDependencies, rules: ContextRules, open: () => T): T {
  const keyfold = world.process(rules);
  const spy = vi.spyOn(world, 'process').mockReturnValue(keyfold);
  try {
    return open();
  } finally {
    spy.mockRestore();
  }
}

export const overHttp: OpenDoor = (world, rules = {}) => {
  const send = openDoor({ world, keyfold: world.process(rules) });
  return async (operation, members) => {
    const { status, body } = await send(request(operation, `{${members}}`, 'p'));
    return status === 200 ? body : (body['code'] as string);
  };
};

export const directly: OpenDoor = (world, rules = {}) => {
  const invoke = withRules(world, rules, () => openDirectDoor({ world }));
  return async (operation, members) => {
    const { payload, error } = await invoke(`{"operation":"${operation}","partition":"p",${members}}`);
    return payload === undefined ? (error?.errorType ?? '') : (JSON.parse(payload) as Answer);
  };
};

/** Opens the queue door. If a message fails, the returned code is the code in its dead letter. */
export const byQueue: OpenDoor = (world, rules = {}) => {
  const queues = new FakeQueues();
  const handle = withRules(world, rules, () => openQueueDoor({ world, queues, config: { serves: {} } }));
  let messages = 0;
  return async (operation, members) => {
    const [results, letters] = [queues.in(OUTPUT).length, queues.in(DEAD_LETTERS).length];
    const body = `{"operation":"${operation}","partition":"p",${members}}`;
    const retried = await handle([queueRecord(`m${(messages += 1)}`, body)]);
    if (retried.length > 0) return 'retried';
    const letter = queues.in(DEAD_LETTERS)[letters];
    if (letter !== undefined) return letter.attributes['keyfold-error-code']?.StringValue ?? '';
    return JSON.parse(queues.in(OUTPUT)[results]?.body ?? '') as Answer;
  };
};

/** Calls the library's functions. A TypeError counts as `InvalidRequest`. */
export const inTheLibrary: OpenDoor = (world, rules = {}) => {
  const session = world.process(rules).session('p');
  return (operation, members) => outcomeOf(() => callLibrary(session, operation, parse(members)));
};

/** Calls the typed client, whose transport is the HTTP door. A TypeError counts as `InvalidRequest`. */
export const byClient: OpenDoor = (world, rules = {}) => {
  const send = openDoor({ world, keyfold: world.process(rules) });
  const transport = {
    send: async (call: { readonly operation: string; readonly members: unknown }) => {
      const { status, body } = await send(request(call.operation, call.members, 'p'));
      const error = status === 200 ? undefined : serviceError(body['code'], body['detail']);
      if (error !== undefined) throw error;
      return { value: body };
    },
  };
  const client = new PartitionClient('p', transport, retryPolicy({ maxAttempts: 1 }));
  return (operation, members) => outcomeOf(() => callClient(client, operation, parse(members)));
};

interface Item {
  readonly plaintext: string;
  readonly record: string | object;
  readonly context?: Readonly<Record<string, string>>;
}
type Members = Item & { readonly items: readonly Item[]; readonly document: object; readonly fields: string[] };

const parse = (members: string): Members => JSON.parse(`{${members}}`) as Members;
const bytes = ({ plaintext }: Item): Buffer => Buffer.from(plaintext, 'base64');

/** The session for the context of an item. */
const at = (session: Session, { context }: Item): Session =>
  context === undefined ? session : session.withContext(context);

function recordOf({ record }: Item): DataRowRecord {
  return typeof record === 'string' ? decodeCompactRecord(record).record : decodeDataRowRecord(JSON.stringify(record));
}

async function callLibrary(session: Session, operation: string, members: Members): Promise<Answer> {
  const item = members.items?.[0] ?? members;
  const placed = (): Session => at(session, item);
  switch (operation) {
    case 'encrypt':
      return { record: JSON.parse(await placed().encryptToJson(bytes(members))) as object };
    case 'decrypt':
      return { plaintext: (await placed().decrypt(recordOf(members))).toString('base64') };
    case 'rewrap':
      return { record: JSON.parse(encodeDataRowRecord((await session.rewrap(recordOf(members))).record)) as object };
    case 'encrypt-batch':
      return resultsOf(await encryptBatch(placed(), members.items.map(bytes)));
    case 'decrypt-batch':
      return resultsOf(await decryptBatch(placed(), members.items.map(recordOf)));
    case 'encrypt-fields':
      return { document: await encryptFields(session, members) };
    default:
      return { document: await decryptFields(session, members) };
  }
}

async function callClient(client: PartitionClient, operation: string, members: Members): Promise<Answer> {
  const { context } = members;
  const options = context === undefined ? {} : { context };
  switch (operation) {
    case 'encrypt':
      return { record: await client.encrypt(bytes(members), options) };
    case 'decrypt':
      return { plaintext: await client.decrypt(members.record as string, options) };
    case 'rewrap':
      return { record: (await client.rewrap(members.record as string)).record };
    case 'encrypt-batch':
      return resultsOf(await client.encryptBatch(members.items.map((item) => ({ ...item, plaintext: bytes(item) }))));
    case 'decrypt-batch':
      return resultsOf(
        await client.decryptBatch(members.items.map((item) => ({ ...item, record: item.record as string }))),
      );
    case 'encrypt-fields':
      return { document: await client.encryptFields(members) };
    default:
      return { document: await client.decryptFields(members) };
  }
}

/** Writes the results of a batch as the API does. */
function resultsOf(results: readonly unknown[]): Answer {
  return {
    results: results.map((result) =>
      result instanceof KeyfoldError || result instanceof KeyfoldClientError ? { error: { code: result.code } } : {},
    ),
  };
}

async function outcomeOf(work: () => Promise<Answer>): Promise<Answer | string> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof KeyfoldError || error instanceof KeyfoldClientError) return error.code;
    if (error instanceof TypeError) return 'InvalidRequest';
    throw error;
  }
}
