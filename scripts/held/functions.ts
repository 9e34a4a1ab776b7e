import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { FaultInput } from '../../emulators/kms/faults.ts';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { startDynamoDb } from '../../local/dynamodb.ts';
import { ensureKeys, functionEnvironment, OPENING, SEALING } from '../../local/function-environment.ts';
import { FunctionFailure, LocalFunction } from '../../local/local-function.ts';
import { startQueues } from '../../local/queues.ts';
import { observeCli } from './cli.ts';
import { OutputLines } from './output-lines.ts';

const root = join(import.meta.dirname, '..', '..');
const [WEST, EAST] = ['us-west-2', 'us-east-1'] as const;
const TIMEOUT_MS = 15_000;
/** Settings that leave an invocation only three seconds, so that its retries end soon if there is a fault. */
const SHORT = { KEYFOLD_DEADLINE_MARGIN_MS: String(TIMEOUT_MS - 3000) };

/** An event or a response. */
type Members = Readonly<Record<string, unknown>> & { readonly code?: string };

/** Reads an event from events/, and applies changes to it. */
async function sample(name: string, changes: Members = {}): Promise<Members> {
  return { ...(JSON.parse(await readFile(join(root, 'events', `${name}.json`), 'utf8')) as Members), ...changes };
}

/** Makes an event of the HTTP API for an operation. */
function http(operation: string, body: unknown, changes: Members = {}): Promise<Members> {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  return sample('api-encrypt-iam', {
    rawPath: `/v1/partitions/tenant-1/${operation}`,
    pathParameters: { partition: 'tenant-1', operation },
    body: text,
    ...changes,
  });
}

/**
 * Runs the functions through successes and faults on the emulators, and then runs the CLI on their key table.
 * @returns the lines of the files answers.txt, log.txt, metrics.txt and cli.txt
 */
export async function observeFunctions(): Promise<Record<string, string[]>> {
  const [kms, dynamoDb, queues] = await Promise.all([
    startKmsEmulator(),
    startDynamoDb('EncryptionKey', 0),
    startQueues(0),
  ]);
  const environment = {
    ...functionEnvironment({
      kms: kms.endpoint,
      dynamoDb: dynamoDb.endpoint,
      keys: await ensureKeys(kms, [WEST, EAST]),
    }),
    POWERTOOLS_LOG_LEVEL: 'DEBUG',
    KEYFOLD_SERVICE: 'held',
    KEYFOLD_PRODUCT: 'shop',
  };
  const output = new OutputLines();
  const answers: string[] = [];

  /** Sends an event to a cold process of a function, and records the status or the error. */
  const send = async (title: string, handler: string, event: Members, settings: object = {}): Promise<Members> => {
    const url = new URL(`../../handlers/${handler}.ts`, import.meta.url).href;
    const one = new LocalFunction(url, { ...environment, ...settings });
    try {
      const answer = (await one.invoke(event, TIMEOUT_MS)) as Members;
      const { statusCode = 200, body } = answer as { statusCode?: number; body?: string };
      const content = body === undefined ? answer : (JSON.parse(body) as Members);
      answers.push(`${handler}, ${title}: ${statusCode} ${content.code ?? 'ok'} ${namesOf(content)}`);
      return content;
    } catch (error) {
      if (!(error instanceof FunctionFailure)) throw error;
      answers.push(`${handler}, ${title}: ${error.details.errorType}`);
      return {};
    } finally {
      // Wait for the worker thread's output, which arrives a little after the response. If the thread ended first, the
      // output would be lost.
      await sleep(100);
      await one.recycle();
    }
  };

  output.capture();
  try {
    const plaintext = { plaintext: 'aGVsbG8=' };
    const fields = { document: { card: 1, name: 'Ada' }, fields: ['$.card'] };
    const { record } = await send('encrypt', 'api', await http('encrypt', plaintext));
    await send('encrypt', 'api', await http('encrypt', plaintext));
    await send('decrypt', 'api', await http('decrypt', { record }));
    await send('rewrap', 'api', await http('rewrap', { record }));
    await send('encrypt-batch', 'api', await http('encrypt-batch', { items: [plaintext, plaintext] }));
    await send('decrypt-batch', 'api', await http('decrypt-batch', { items: [{ record }, { record: 'kf1.AAAA' }] }));
    const { document } = await send('encrypt-fields', 'api', await http('encrypt-fields', fields));
    await send('decrypt-fields', 'api', await http('decrypt-fields', { document, all: true }));
    await send('health', 'api', await sample('api-health-iam'));
    await send('a body that is not JSON', 'api', await http('encrypt', '{'));
    await send('an unknown member', 'api', await http('encrypt', { ...plaintext, more: 1 }));
    await send('an unknown operation', 'api', await http('destroy', plaintext));
    await send('a field that is absent', 'api', await http('encrypt-fields', { ...fields, fields: ['$.none'] }));
    await send('a foreign record', 'api', await http('decrypt', { record: tampered(record) }));
    await send('too much plaintext', 'api', await http('encrypt', plaintext), { KEYFOLD_PLAINTEXT_LIMIT_BYTES: '1' });
    await send('another content type', 'api', await http('encrypt', plaintext, { headers: {} }));
    await send('a partition not served', 'api', await http('encrypt', plaintext), { KEYFOLD_PARTITIONS: 'b*' });
    await send('an event of another service', 'api', { Records: [] });
    await send('preloaded', 'api', await http('decrypt', { record }), { KEYFOLD_PRELOAD_SYSTEM_KEY: 'true' });

    for (const [title, settings] of [
      ['as seal', { KEYFOLD_OPERATIONS: SEALING }],
      ['as open', { KEYFOLD_OPERATIONS: OPENING }],
    ] as const) {
      await send(`encrypt ${title}`, 'invoke', await sample('invoke-encrypt'), settings);
      await send(`decrypt ${title}`, 'invoke', await sample('invoke-decrypt', { record }), settings);
    }

    const faults: readonly (readonly [string, FaultInput, readonly string[]])[] = [
      ['the preferred region down', { kind: 'down' }, [WEST]],
      ['the other region down', { kind: 'down' }, [EAST]],
      ['both regions down', { kind: 'down' }, [WEST, EAST]],
      ['both regions throttling', { kind: 'throttle', perSecond: 0 }, [WEST, EAST]],
      ['both keys disabled', { kind: 'error', name: 'DisabledException' }, [WEST, EAST]],
    ];
    for (const [i, [title, fault, regions]] of faults.entries()) {
      for (const region of regions) kms.setFault(region, fault);
      await send(`decrypt, ${title}`, 'api', await http('decrypt', { record }), SHORT);
      // Use a service with a new name, which has no System Key yet, so that the encrypt request creates one.
      const fresh = { ...SHORT, KEYFOLD_SERVICE: `held${i}` };
      await send(`encrypt with a new System Key, ${title}`, 'api', await http('encrypt', plaintext), fresh);
      kms.clearFaults();
    }
    const noTable = { KEYFOLD_TABLE: 'NoSuchTable' };
    await send('encrypt without a table', 'api', await http('encrypt', plaintext), noTable);
    await send('preloaded without a table', 'api', await http('encrypt', plaintext), {
      ...noTable,
      KEYFOLD_PRELOAD_SYSTEM_KEY: 'true',
    });

    await send('schedule', 'maintenance', await sample('maintenance-schedule'));
    await send('schedule before there is a key', 'maintenance', await sample('maintenance-schedule'), {
      KEYFOLD_SERVICE: 'new',
    });
    kms.setFault(EAST, { kind: 'error', name: 'DisabledException' });
    await send('schedule, one key disabled', 'maintenance', await sample('maintenance-schedule'), SHORT);
    kms.clearFaults();

    await send('a message', 'queue', await sample('queue-standard'), queues.environment);
    const { Records: [first] = [] } = (await sample('queue-standard')) as { Records?: Members[] };
    const bad = { Records: [{ ...first, body: '{' }] };
    await send('a message that is not JSON', 'queue', bad, queues.environment);
    await send('a message without a table', 'queue', await sample('queue-standard'), {
      ...queues.environment,
      ...noTable,
    });
    const cli = await observeCli(dynamoDb.endpoint);
    return { 'answers.txt': answers, 'log.txt': output.log(), 'metrics.txt': output.metrics(), 'cli.txt': cli };
  } finally {
    output.release();
    await Promise.all([kms.close(), queues.close(), dynamoDb.close()]);
  }
}

/** The record with a changed ciphertext, so that it does not open. */
function tampered(record: unknown): unknown {
  return { ...(record as object), Data: Buffer.alloc(40).toString('base64') };
}

function namesOf(answer: Members): string {
  return `{${Object.keys(answer).toSorted().join(', ')}}`;
}
