/**
 * Runs the examples on the local world: the commands that their READMEs ask the reader to run, and the results that
 * they show.
 */
import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { delimiter, dirname, join } from 'node:path';
import { tmpdir } from 'node:os';
import { promisify } from 'node:util';
import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { build } from 'esbuild';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createTable } from '../../examples/table.ts';
import { codeBlocksOf, commandsOf, ROOT } from '../support/documents.ts';
import { LOCAL_CREDENTIALS } from '../support/local-credentials.ts';
import { addressOf, startLocalProcess, stopLocalProcess, type LocalProcess } from '../support/local-process.ts';
import { wordsOf } from '../support/pasted.ts';
import { EmulatedFunction } from './emulated-function.ts';
import { pythonOf } from './install.ts';
import { AWS_ENVIRONMENT } from './processes.ts';

const run = promisify(execFile);
const READMES = ['lambda', 'fastify', 'middy', 'sqs-to-dynamodb', 'powertools-data-masking', 'aws-encryption-sdk'];

let world: LocalProcess;
/** The variables that examples/README.md exports, with the addresses of this local world. */
let env: Record<string, string>;
let dynamoDb: DynamoDBClient;

beforeAll(async () => {
  await run('npm', ['run', '--silent', 'build'], { cwd: ROOT });
  world = await startLocalProcess();
  const addresses = ['API', 'KMS', 'DynamoDB', 'SQS'].map((name) => addressOf(world, name));
  const commands = codeBlocksOf('examples/README.md').flatMap(({ code }) => commandsOf(code));
  const exported = commands.filter((command) => command.startsWith('export ')).join(' ');
  const pairs = [...exported.matchAll(/(\w+)=(?:'([^']*)'|(\S+))/g)].map(([, name = '', quoted, bare = '']) => [
    name,
    (quoted ?? bare).replace(/http:\/\/127\.0\.0\.1:808(\d)/, (_, port: string) => addresses[Number(port)] ?? ''),
  ]);
  env = { ...AWS_ENVIRONMENT, ...(Object.fromEntries(pairs) as Record<string, string>) };
  const { AWS_ENDPOINT_URL_DYNAMODB: endpoint = '' } = env;
  dynamoDb = new DynamoDBClient({ endpoint, region: 'us-west-2', credentials: LOCAL_CREDENTIALS });
});
afterAll(async () => {
  dynamoDb.destroy();
  await stopLocalProcess(world);
});

/** A pattern for the output that a README shows. A README shortens records and tokens with `…`. */
function patternOf(shown: string): RegExp {
  const literal = shown.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return new RegExp(`^${literal.replaceAll(/(kf2j?\\\.|token-)[\w-]*…/g, String.raw`$1[\w-]{30,}`)}\n$`);
}

it.for(READMES)('examples/%s prints what its README shows', async (name) => {
  const blocks = codeBlocksOf(`examples/${name}/README.md`);
  const command = blocks
    .filter(({ language }) => language === 'sh')
    .flatMap(({ code }) => commandsOf(code))
    .find((line) => /\/try\.(?:ts|py)$/.test(line));
  const shown = blocks.find(({ language }) => language === '')?.code ?? '';
  const [program = '', ...args] = wordsOf(command ?? '');
  // The README asks the reader to create a virtual environment with the packages.
  const PATH = [dirname(pythonOf('powertools')), process.env['PATH']].join(delimiter);
  const { stdout } = await run(program, args, { cwd: ROOT, env: { ...process.env, ...env, PATH } });
  expect(stdout).toMatch(patternOf(shown));
});

it('examples/aws-encryption-sdk leaves a card unchanged if the card is not text', async () => {
  await createTable(dynamoDb, 'Binary');
  const program = `
    import { buildEncrypt, KmsKeyringNode } from '@aws-crypto/client-node';
    import { DynamoDBClient, GetItemCommand, PutItemCommand } from '@aws-sdk/client-dynamodb';
    import { migrate } from './examples/aws-encryption-sdk/migrate.ts';
    const client = new DynamoDBClient();
    const keyring = new KmsKeyringNode({ generatorKeyId: JSON.parse(process.env.KMS_KEYS)['us-west-2'] });
    const encryptionContext = { tenant: 'tenant-1' };
    const { result } = await buildEncrypt().encrypt(keyring, Uint8Array.of(0xff), { encryptionContext });
    const Key = { tenant: { S: 'tenant-1' }, id: { S: 'ada' } };
    await client.send(new PutItemCommand({ TableName: 'Binary', Item: { ...Key, card: { B: result } } }));
    const failure = await migrate(client, 'Binary').catch(({ message }) => message);
    const { Item } = await client.send(new GetItemCommand({ TableName: 'Binary', Key }));
    console.log(failure, Buffer.compare(Item.card.B ?? new Uint8Array(), result));`;
  const args = ['--input-type=module', '--eval', program];
  const { stdout } = await run(process.execPath, args, { cwd: ROOT, env: { ...process.env, ...env } });
  expect(stdout).toBe('The card of ada is no text. 0\n');
});

describe('the bundle of examples/lambda', () => {
  let folder: string;
  let lambda: EmulatedFunction;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    const [, bundle] = codeBlocksOf('examples/lambda/README.md').filter(({ language }) => language === 'sh');
    const [, , entry = '', ...options] = wordsOf(bundle?.code ?? '');
    expect(options).toEqual([
      '--bundle',
      '--platform=node',
      '--target=node24',
      '--minify',
      '--outfile=function/index.cjs',
    ]);
    const outfile = join(folder, 'index.cjs');
    await build({
      entryPoints: [join(ROOT, entry)],
      bundle: true,
      platform: 'node',
      target: 'node24',
      minify: true,
      outfile,
    });
    await createTable(dynamoDb, 'Customers');
    const handler = 'index.handler';
    lambda = await EmulatedFunction.start({ taskRoot: folder, handler, name: 'cards', environment: env });
  });
  afterAll(async () => {
    await lambda.stop();
    await rm(folder, { recursive: true });
  });

  it('stores and reads a card in the Lambda runtime', async () => {
    await lambda.invoke({ tenant: 'tenant-1', id: 'ada', card: '4111' });
    expect(await lambda.invoke({ tenant: 'tenant-1', id: 'ada' })).toEqual({ card: '4111' });
    expect(await lambda.invoke({ tenant: 'tenant-1', id: 'absent' })).toEqual({});
  });

  it('does not open a card that was copied to another row', async () => {
    await lambda.invoke({ tenant: 'tenant-1', id: 'ada', card: '4111' });
    const TableName = 'Customers';
    const Key = { tenant: { S: 'tenant-1' }, id: { S: 'ada' } };
    const { Item = {} } = await dynamoDb.send(new GetItemCommand({ TableName, Key }));
    await dynamoDb.send(new PutItemCommand({ TableName, Item: { ...Item, id: { S: 'eve' } } }));
    expect(await lambda.invoke({ tenant: 'tenant-1', id: 'eve' })).toMatchObject({
      errorMessage: 'The record cannot be opened for this partition.',
    });
  });
});
