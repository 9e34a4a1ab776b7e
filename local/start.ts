/** `npm start`: runs Keyfold on emulators of DynamoDB, SQS and KMS in two regions. No request leaves this machine. */
import { join } from 'node:path';
import type { SQSBatchResponse } from 'aws-lambda';
import { createApiServer } from './api-server.ts';
import { CallJournal } from './call-journal.ts';
import { takeDataFolder } from './data-folder.ts';
import { startDynamoDb } from './dynamodb.ts';
import { ensureKeys, functionEnvironment, OPENING, SEALING } from './function-environment.ts';
import { startKmsEmulator } from '../emulators/kms/kms-emulator.ts';
import type { CommandResult } from './keyfold-command.ts';
import { KeyRows } from './key-rows.ts';
import { close, listen } from '../emulators/listen.ts';
import { FUNCTION_TIMEOUT_MS, LocalFunction } from './local-function.ts';
import type { RunCommand } from './page-commands.ts';
import { createPageServer } from './page-server.ts';
import { startQueues, type LocalQueues } from './queues.ts';
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

async function start({ data, verbose, ...ports }: StartOptions): Promise<void> {
  const folder = data === undefined ? undefined : await takeDataFolder(data);
  const journal = new CallJournal();
  const kms = await startKmsEmulator({
    port: ports.kmsPort,
    onCall: ({ region, action, outcome }) => journal.note({ service: 'KMS', region, action, keyId: null, outcome }),
    ...(data === undefined ? {} : { dataFile: join(data, 'kms.json') }),
  });
  const keys = await ensureKeys(kms, REGIONS);
  const dynamoDb = await startDynamoDb(TABLE, ports.dynamoDbPort, data && join(data, 'dynamodb'), (call) =>
    journal.note(call),
  );
  const environment = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys }),
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
  const page = createPageServer({ kms, keys: rows, journal, regions: REGIONS, run });
  const invokable = {
    'keyfold-api': api,
    'keyfold-maintenance': maintenance,
    'keyfold-seal': seal,
    'keyfold-open': open,
    'keyfold-queue': queue,
  };
  const server = createApiServer(api, maintenance, page, invokable, logRequest);
  const apiUrl = `http://127.0.0.1:${await listen(server, ports.port)}`;
  const stop = async (): Promise<void> => {
    await Promise.all([close(server), queues.close(), kms.close(), dynamoDb.close()]);
    await Promise.all([api, maintenance, seal, open, queue, command].map((one) => one.recycle()));
    await folder?.release();
    process.exit(0);
  };
  // The terminal, npm and the launcher each send a signal. Only the first signal starts the shutdown.
  let stopping: Promise<void> | undefined;
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => void (stopping ??= stop()));
  console.log(greeting({ apiUrl, kmsUrl: kms.endpoint, dynamoDbUrl: dynamoDb.endpoint, queues, data }));
}

interface Places {
  readonly apiUrl: string;
  readonly kmsUrl: string;
  readonly dynamoDbUrl: string;
  readonly queues: LocalQueues;
  readonly data: string | undefined;
}

function greeting(at: Places): string {
  const post = `curl -s -H 'content-type: application/json' ${at.apiUrl}/v1/partitions/tenant-1`;
  return `
Keyfold runs on this machine alone:
  Page       ${at.apiUrl}/   open it in a browser
  API        ${at.apiUrl}   (health: ${at.apiUrl}/v1/health)
  Lambda     ${at.apiUrl}   its Invoke API, for keyfold-seal and keyfold-open (--endpoint-url)
  KMS        ${at.kmsUrl}   emulated, in ${REGIONS.join(' and ')}; ${PREFERRED} is preferred
  DynamoDB   ${at.dynamoDbUrl}   emulated, table ${TABLE}
  SQS        ${at.queues.endpoint}   emulated, queues ${at.queues.names.join(', ')}; in memory
  ${at.data === undefined ? 'Keys and tables are in memory: what you encrypt is lost when this stops (--data DIR keeps them).' : `Keys and tables are kept in ${at.data}, the keys in the clear: for trials only.`}

1. Encrypt "hello":
   ${post}/encrypt -d '{"plaintext":"aGVsbG8="}' | tee record.json
2. Decrypt it:
   ${post}/decrypt -d @record.json
3. Take the preferred region down and start cold; then decrypt again:
   curl -s -X PUT ${at.kmsUrl}/regions/${PREFERRED}/fault -d '{"kind":"down"}' && curl -s -X POST ${at.apiUrl}/local/cold-start
4. Bring the region back:
   curl -s -X DELETE ${at.kmsUrl}/regions/${PREFERRED}/fault
5. Post to the queue, and read the result (the AWS CLI does it too, with --endpoint-url ${at.queues.endpoint}):
   ${at.queues.sampleCommand}

Each request shows as a line here (--verbose: the functions' logs and metrics, too).
`;
}
