/**
 * `npm run path`: lists the files of src in which a function runs during one warm encrypt and one cold decrypt. Both
 * are requests to the HTTP function, on emulators of DynamoDB and of KMS in two regions.
 */
import { readFileSync } from 'node:fs';
import { Session, type Profiler } from 'node:inspector/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { APIGatewayProxyEventV2, Context } from 'aws-lambda';
import { startKmsEmulator } from '../emulators/kms/kms-emulator.ts';
import { startDynamoDb } from '../local/dynamodb.ts';
import { ensureKeys, functionEnvironment } from '../local/function-environment.ts';
import { buildApi } from '../src/container.ts';
import { httpDoor, type HttpHandler } from '../src/doors/http.ts';

const ROOT = join(import.meta.dirname, '..');
const SOURCES = join(ROOT, 'src');
const REGIONS = ['us-west-2', 'us-east-1'];
const TABLE = 'EncryptionKey';

/** A file, and the functions in it that ran, in the order of the file. */
type RunFile = readonly [file: string, functions: readonly string[]];

const kms = await startKmsEmulator();
const dynamoDb = await startDynamoDb(TABLE, 0);
const keys = await ensureKeys(kms, REGIONS);
Object.assign(process.env, functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys }), {
  KEYFOLD_SERVICE: 'path',
  KEYFOLD_PRODUCT: 'keyfold',
  KEYFOLD_TABLE: TABLE,
  KEYFOLD_AUTH: 'iam',
});
const session = new Session();
session.connect();
await session.post('Profiler.enable');
await session.post('Profiler.startPreciseCoverage', { callCount: true });

const warm = httpDoor(await buildApi());
const { record } = await send(warm, 'encrypt', { plaintext: 'aGVsbG8=' });
const warmFiles = await filesRunBy(() => send(warm, 'encrypt', { plaintext: 'aGVsbG8=' }));
const cold = httpDoor(await buildApi());
const coldFiles = await filesRunBy(() => send(cold, 'decrypt', { record }));

session.disconnect();
await Promise.all([kms.close(), dynamoDb.close()]);
print('A warm encrypt', warmFiles);
print('A cold decrypt', coldFiles);

/** Sends a request to the function, and discards the function's log. */
async function send(handler: HttpHandler, operation: string, body: object): Promise<Record<string, unknown>> {
  const sample = JSON.parse(
    readFileSync(join(ROOT, 'events', 'api-encrypt-iam.json'), 'utf8'),
  ) as APIGatewayProxyEventV2;
  const event = {
    ...sample,
    rawPath: `/v1/partitions/tenant-1/${operation}`,
    pathParameters: { partition: 'tenant-1', operation },
    body: JSON.stringify(body),
  };
  const context = { awsRequestId: 'path', getRemainingTimeInMillis: () => 30_000 } as unknown as Context;
  const write = process.stdout.write.bind(process.stdout);
  process.stdout.write = () => true;
  const { statusCode, body: answer } = await handler(event, context).finally(() => (process.stdout.write = write));
  if (statusCode !== 200) throw new Error(`the function answered ${statusCode}: ${answer}`);
  return JSON.parse(answer) as Record<string, unknown>;
}

async function filesRunBy(work: () => Promise<unknown>): Promise<RunFile[]> {
  // Reading the coverage resets all counts to zero.
  await session.post('Profiler.takePreciseCoverage');
  await work();
  const { result } = await session.post('Profiler.takePreciseCoverage');
  const scripts = result.filter(({ url }) => url.startsWith('file:') && fileURLToPath(url).startsWith(SOURCES));
  const files = scripts.map(({ url, functions }): RunFile => [
    fileURLToPath(url),
    functionsOf(fileURLToPath(url), functions),
  ]);
  return files.filter(([, functions]) => functions.length > 0).toSorted(([one], [other]) => one.localeCompare(other));
}

/** The names of the functions that ran. A function without a name appears as its line number. */
function functionsOf(file: string, functions: readonly Profiler.FunctionCoverage[]): string[] {
  const text = readFileSync(file, 'utf8');
  return functions.flatMap(({ functionName, ranges: [range] }) => {
    if (range === undefined || range.count === 0) return [];
    return functionName === '' ? `line ${text.slice(0, range.startOffset).split('\n').length}` : functionName;
  });
}

function print(title: string, files: readonly RunFile[]): void {
  const functions = files.reduce((sum, [, names]) => sum + names.length, 0);
  console.log(`${title} runs ${functions} functions in ${files.length} files:`);
  for (const [file, names] of files) console.log(`  ${relative(ROOT, file)}: ${names.join(', ')}`);
}
