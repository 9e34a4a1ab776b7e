import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { freePort } from '../../emulators/listen.ts';
import { installDebian } from './install.ts';
import { LAMBDA_RUNTIME } from './lambda-runtime.ts';
import { installOnce, PEERS_FOLDER } from './peers-folder.ts';
import type { PeerServer } from './processes.ts';

const run = promisify(execFile);
const TRIXIE = join(PEERS_FOLDER, 'trixie');
const LOCALSTACK = join(PEERS_FOLDER, 'localstack');
const STARTS_WITHIN_MS = 180_000;

/**
 * The folder of Debian's libraries for each architecture, and Debian's program that loads an executable with these
 * libraries.
 */
export const LIBRARIES: Readonly<Record<string, readonly [string, string]>> = {
  x64: ['x86_64-linux-gnu', 'ld-linux-x86-64.so.2'],
  arm64: ['aarch64-linux-gnu', 'ld-linux-aarch64.so.1'],
};

/** The folder with `aws`, which is version 2 of the AWS CLI. */
const AWS_CLI = join(TRIXIE, 'bin');
const PYTHON = join(AWS_CLI, 'python3.13');

/**
 * Installs LocalStack, and from Debian 13 the AWS CLI and Python 3.13, which LocalStack needs. The AWS CLI and Python
 * run from their folder with the libraries of Debian 13, even if the system is older.
 */
export async function installLocalStack(): Promise<void> {
  await installDebian('trixie', 'debian-trixie.txt', 'trixie');
  await writePrograms();
  const requirements = join(import.meta.dirname, 'requirements-localstack.txt');
  await installOnce('localstack', requirements, async (folder) => {
    const wheels = join(TRIXIE, 'usr', 'share', 'python-wheels');
    const install = [
      '-m',
      'pip',
      'install',
      '--quiet',
      '--no-deps',
      '--root-user-action',
      'ignore',
      '--target',
      folder,
    ];
    const PYTHONPATH = join(wheels, 'pip-25.1.1-py3-none-any.whl');
    await run(PYTHON, [...install, '--requirement', requirements], { env: { ...process.env, PYTHONPATH } });
  });
}

/** Writes the programs of {@link AWS_CLI}, and a copy of the CLI's CloudFormation waiters that polls every second. */
async function writePrograms(): Promise<void> {
  const [folder = '', loader = ''] = LIBRARIES[process.arch] ?? [];
  const python = `#!/bin/sh
here=\${0%/*}
export PYTHONHOME="$here/../usr"
unset PYTHONDONTWRITEBYTECODE
libraries="$PYTHONHOME/lib/${folder}"
exec "$libraries/${loader}" --library-path "$libraries" --argv0 "$0" "$PYTHONHOME/bin/python3.13" "$@"
`;
  const aws = '#!/bin/sh\nexec "${0%/*}/python3.13" "${0%/*}/../usr/bin/aws" "$@"\n';
  await mkdir(AWS_CLI, { recursive: true });
  for (const [file, text] of [
    [PYTHON, python],
    [join(AWS_CLI, 'aws'), aws],
  ] as const) {
    await writeFile(file, text);
    await chmod(file, 0o755);
  }
  const waiters = join('cloudformation', '2010-05-15', 'waiters-2.json');
  const data = join(TRIXIE, 'usr', 'lib', 'python3', 'dist-packages', 'awscli', 'botocore', 'data');
  const text = await readFile(join(data, waiters), 'utf8');
  await mkdir(join(TRIXIE, 'models', waiters, '..'), { recursive: true });
  await writeFile(join(TRIXIE, 'models', waiters), text.replaceAll(/"delay": \d+/g, '"delay": 1'));
}

/** LocalStack, and the environment in which the AWS CLI and the AWS SDK call it. */
export interface LocalStack extends PeerServer {
  readonly environment: Readonly<Record<string, string>>;
}

/**
 * Starts LocalStack on a free port of 127.0.0.1. It reports nothing to its makers, and downloads nothing.
 * @throws Error with LocalStack's log, if it does not start
 */
export async function startLocalStack(): Promise<LocalStack> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-localstack-'));
  const log: string[] = [];
  const port = await freePort();
  const address = `127.0.0.1:${port}`;
  // Without the site module, Python does not see the packages of Debian.
  const child = spawn(PYTHON, ['-S', join(import.meta.dirname, 'localstack_peer.py')], {
    cwd: folder,
    // Start a process group, which DynamoDB Local and the functions join, so that `stop` can end them all.
    detached: true,
    env: {
      PATH: process.env['PATH'],
      HOME: folder,
      TMPDIR: folder,
      PYTHONPATH: LOCALSTACK,
      FILESYSTEM_ROOT: folder,
      // Without this setting, LocalStack in a container would also write outside its own folder.
      OVERRIDE_IN_DOCKER: '0',
      GATEWAY_LISTEN: address,
      LOCALSTACK_HOST: address,
      DISABLE_EVENTS: '1',
      DNS_ADDRESS: '0',
      SKIP_SSL_CERT_DOWNLOAD: '1',
      // Without this setting, a queue's URL would contain a host name that does not resolve to an address.
      SQS_ENDPOINT_STRATEGY: 'off',
      // Use this version of the DynamoDB provider, because the others download a server for Kinesis.
      PROVIDER_OVERRIDE_DYNAMODB: 'v2',
      PROVIDER_OVERRIDE_DYNAMODBSTREAMS: 'v2',
      // LocalStack must ignore dashboards and HTTP APIs, which it does not support without a licence.
      CFN_IGNORE_UNSUPPORTED_RESOURCE_TYPES: '1',
      KEYFOLD_DYNAMODB_LOCAL: join(PEERS_FOLDER, 'dynamodb-local'),
      KEYFOLD_LAMBDA_CLIENT: LAMBDA_RUNTIME.client,
      KEYFOLD_LAMBDA_EMULATOR: LAMBDA_RUNTIME.emulator,
      KEYFOLD_NODE: process.execPath,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk: Buffer) => log.push(chunk.toString()));
  const endAll = (): void => {
    try {
      process.kill(-(child.pid ?? 0), 'SIGKILL');
    } catch {
      // All processes of the group have ended.
    }
  };
  process.once('exit', endAll);
  const stop = async (): Promise<void> => {
    process.off('exit', endAll);
    const gone = child.exitCode === null && child.signalCode === null && once(child, 'exit');
    endAll();
    await gone;
    await rm(folder, { recursive: true, maxRetries: 5 });
  };
  const endpoint = `http://${address}`;
  const giveUpAtMs = Date.now() + STARTS_WITHIN_MS;
  while (!(await isHealthy(endpoint))) {
    if (child.exitCode !== null || Date.now() > giveUpAtMs) {
      await stop();
      throw new Error(`LocalStack does not start:\n${log.join('')}`);
    }
    await setTimeout(200);
  }
  const environment = {
    PATH: `${AWS_CLI}:${process.env['PATH'] ?? ''}`,
    AWS_ENDPOINT_URL: endpoint,
    AWS_DATA_PATH: join(TRIXIE, 'models'),
    AWS_CONFIG_FILE: '/dev/null',
    AWS_SHARED_CREDENTIALS_FILE: '/dev/null',
  };
  return { endpoint, environment, stop };
}

async function isHealthy(endpoint: string): Promise<boolean> {
  return fetch(`${endpoint}/_localstack/health`).then(
    ({ ok }) => ok,
    () => false,
  );
}
