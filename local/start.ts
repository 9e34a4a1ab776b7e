/**
 * `npm start`: runs Keyfold on emulators of DynamoDB, SQS, and KMS in two regions. OpenBao can take the place of KMS.
 * No request leaves this machine.
 */
import { join } from 'node:path';
import type { SQSBatchResponse } from 'aws-lambda';
import { createApiServer } from './api-server.ts';
import { CallJournal, type JournalCall } from './call-journal.ts';
import { takeDataFolder } from './data-folder.ts';
import { startDynamoDb } from './dynamodb.ts';
import { OPENING, SEALING, tableEnvironment } from './function-environment.ts';
import { greeting } from './greeting.ts';
import { startEmulatedKms, startVault } from './key-service.ts';
import type { CommandResult } from './keyfold-command.ts';
import { KeyRows } from './key-rows.ts';
import { close, listen } from '../emulators/listen.ts';
import { FUNCTION_TIMEOUT_MS, LocalFunction } from './local-function.ts';
import type { RunCommand } from './page-commands.ts';
import { createPageServer } from './page-server.ts';
import { startQueues } from './queues.ts';
import { logRequest } from './request-log.ts';
import { HELP, readStartOptions, type StartOptions } from './start-options.ts';

const REGIONS = ['us-west-2', 'us-east-1'] as const;
const [PREFERRED] = REGIONS;
const TABLE = 'EncryptionKey';
const NAMES = { service: 'local', product: 'keyfold' };

try {
  const options = readStartOptions(process.argv.slice(2));
  if (options.help) console.log(HELP);
  else await start(options);
} catch (error) {
  console.error(`${(error as Error).message}\n\n${HELP}`);
  process.exit(1);
}

async function end(): Promise<void> {
  process.exit(0);
}

async function start({ data, kms, verbose, ...ports }: StartOptions): Promise<void> {
  // The terminal, npm and the launcher each send a signal. Only the first signal starts the shutdown.
  let stopping: Promise<void> | undefined;
  let stop = end;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void (stopping ??= stop()));
  const folder = data === undefined ? undefined : await takeDataFolder(data);
  const journal = new CallJournal();
  const note = (call: JournalCall): void => journal.note(call);
  const keyService = await (kms === 'vault'
    ? startVault(ports.kmsPort, note)
    : startEmulatedKms(REGIONS, ports.kmsPort, data, note));
  const dynamoDb = await startDynamoDb(TABLE, ports.dynamoDbPort, data && join(data, 'dynamodb'), note);
  const environment = {
    ...tableEnvironment(PREFERRED, dynamoDb.endpoint),
    ...keyService.environment,
    KEYFOLD_SERVICE: NAMES.service,
    KEYFOLD_PRODUCT: NAMES.product,
    KEYFOLD_TABLE: TABLE,
    KEYFOLD_AUTH: 'none',
  };
  const functionOf = (name: string, more = {}, called = `keyfold-${name}`): LocalFunction =>
    new LocalFunction(
      new URL(`../handlers/${name}.ts`, import.meta.url).href,
      { ...environment, ...more },
      called,
      verbose,
    );
  const api = functionOf('api');
  const maintenance = functionOf('maintenance');
  const seal = functionOf('invoke', { KEYFOLD_OPERATIONS: SEALING }, 'keyfold-seal');
  const open = functionOf('invoke', { KEYFOLD_OPERATIONS: OPENING }, 'keyfold-open');
  const queues = await startQueues(ports.sqsPort);
  const queue = functionOf('queue', queues.environment);
  queues.serve(async (event) => {
    const startedAtMs = performance.now();
    const result = await queue.invoke(event, FUNCTION_TIMEOUT_MS);
    const failed = (result as SQSBatchResponse).batchItemFailures.length;
    const what = `SQS ${queues.input}, ${event.Records.length} received`;
    logRequest({ what, outcome: `${failed} to be tried again`, ms: performance.now() - startedAtMs });
    return result;
  });
  const rows = new KeyRows(dynamoDb.endpoint, TABLE, NAMES);
  const commandModule = new URL('keyfold-command.ts', import.meta.url).href;
  const command = new LocalFunction(commandModule, environment, 'keyfold-command', verbose);
  const run: RunCommand = async (event) => (await command.invoke(event, FUNCTION_TIMEOUT_MS)) as CommandResult;
  const page = createPageServer({ keyService, keys: rows, journal, regions: REGIONS, run });
  const invokable = {
    'keyfold-api': api,
    'keyfold-maintenance': maintenance,
    'keyfold-seal': seal,
    'keyfold-open': open,
    'keyfold-queue': queue,
  };
  const server = createApiServer(api, maintenance, page, invokable, logRequest);
  const apiUrl = `http://127.0.0.1:${await listen(server, ports.port)}`;
  stop = async () => {
    await Promise.all([close(server), queues.close(), keyService.close(), dynamoDb.close()]);
    await Promise.all([api, maintenance, seal, open, queue, command].map((one) => one.recycle()));
    await folder?.release();
    await end();
  };
  console.log(greeting({ apiUrl, keyService, dynamoDbUrl: dynamoDb.endpoint, table: TABLE, queues, data }));
}
