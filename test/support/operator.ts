import { Readable } from 'node:stream';
import { execFile } from 'node:child_process';
import { hostname, userInfo } from 'node:os';
import { join } from 'node:path';
import { DynamoDBClient, PutItemCommand } from '@aws-sdk/client-dynamodb';
import { createKeyTable, startDynamoDb } from '../../local/dynamodb.ts';
import type { CliDependencies, Terminal } from '../../src/cli/dependencies.ts';
import { runCli } from '../../src/cli/program.ts';
import type { Environment } from '../../src/config/app-config.ts';
import { operatorAdapters } from '../../src/container.ts';
import { DynamoDbMetastore, SessionFactory, StaticKms, type EnvelopeKeyRecord } from '../../src/index.ts';
import type { KeyItem } from '../../src/metastore/dynamodb-item.ts';
import { encodeMarkedItem } from '../../src/metastore/dynamodb-marks.ts';
import { DAY_MS, HandClock } from './fakes.ts';

const root = join(import.meta.dirname, '..', '..');
const TABLE = 'EncryptionKey';
const REGION = 'us-west-2';

/** The output and exit code of a CLI run. */
export interface CliRun {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

interface OperatorOptions {
  readonly stdin?: string;
  readonly ask?: Terminal['ask'];
  readonly status?: Terminal['status'];
  readonly audit?: Terminal['audit'];
  readonly openTables?: CliDependencies['openErasureTables'];
  readonly onInterrupt?: CliDependencies['onInterrupt'];
}

/** The cells of each line that a command prints. At least two spaces are between two cells. */
export function cellsOf({ stdout }: CliRun): string[][] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => line.split(/ {2,}/));
}

/** A key table on a new DynamoDB emulator, service processes that use it, and the operator's CLI. */
export class OperatorFixture {
  /** The clock of the service processes, and of the CLI when it runs in this process. */
  readonly clock = new HandClock(Date.now());
  /** Adapters that the CLI uses when it runs in this process. A test may replace them. */
  readonly adapters: Pick<CliDependencies, 'openRows' | 'openDatabase'> = {
    openRows: operatorAdapters.openRows,
    openDatabase: operatorAdapters.openDatabase,
  };
  readonly endpoint: string;
  readonly stop: () => Promise<void>;

  private constructor(endpoint: string, stop: () => Promise<void>) {
    this.endpoint = endpoint;
    this.stop = stop;
  }

  static async start(): Promise<OperatorFixture> {
    const { endpoint, close } = await startDynamoDb(TABLE, 0);
    return new OperatorFixture(endpoint, close);
  }

  /** An operator whose commands call a server at the given endpoint. The test itself starts and stops the server. */
  static at(endpoint: string): OperatorFixture {
    return new OperatorFixture(endpoint, () => Promise.resolve());
  }

  get metastore(): DynamoDbMetastore {
    return new DynamoDbMetastore({ endpoint: this.endpoint, region: REGION });
  }

  /** Starts a service process with a cold cache, which uses the table. No key expires during the first day. */
  service(names: { service: string; product: string } = { service: 'orders', product: 'shop' }): SessionFactory {
    const kms = new StaticKms(Buffer.alloc(32, 7), {});
    const policy = { systemKeyMaxAgeMs: DAY_MS, intermediateKeyMaxAgeMs: DAY_MS };
    return new SessionFactory({ ...names, kms, policy, metastore: this.metastore, now: this.clock.now });
  }

  /**
   * Runs the CLI in this process, without a terminal.
   * @param ask returns what an operator at a terminal types
   * @param status receives the progress line of a longer command
   * @param audit receives the audit lines, which otherwise go to standard error
   * @param openTables replaces the access to the table for erasures
   */
  async keyfold(
    args: readonly string[],
    environment: Environment = {},
    {
      ask,
      status,
      audit,
      openTables = operatorAdapters.openErasureTables,
      onInterrupt,
      stdin = '',
    }: OperatorOptions = {},
  ): Promise<CliRun> {
    const said = { stdout: '', stderr: '' };
    const code = await runCli(args, {
      environment: { ...process.env, ...this.settings(), ...environment },
      terminal: {
        out: (text) => void (said.stdout += `${text}\n`),
        err: (text) => void (said.stderr += `${text}\n`),
        ask,
        status,
        ...(audit !== undefined && { audit }),
      },
      caller: { user: userInfo().username, host: hostname() },
      now: this.clock.now,
      ...operatorAdapters,
      ...this.adapters,
      version: '0.0.0',
      openErasureTables: openTables,
      onInterrupt,
      stdin: Readable.from([Buffer.from(stdin)]),
    });
    return { code, ...said };
  }

  /**
   * Runs the CLI in a child process, without a terminal. If `reader` is `leaves`, standard output is closed before the
   * CLI writes to it.
   */
  keyfoldProcess(
    args: readonly string[],
    environment: Environment = {},
    reader: 'stays' | 'leaves' = 'stays',
  ): Promise<CliRun> {
    const env = { ...process.env, ...this.settings(), ...environment };
    return new Promise((resolve) => {
      const file = 'src/cli/main.ts';
      const child = execFile(process.execPath, [file, ...args], { cwd: root, env }, (error, stdout, stderr) =>
        resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr }),
      );
      child.stdin?.end();
      if (reader === 'leaves') child.stdout?.destroy();
    });
  }

  settings(): Record<string, string> {
    return { KEYFOLD_SERVICE: 'orders', KEYFOLD_PRODUCT: 'shop', KEYFOLD_DYNAMODB_ENDPOINT: this.endpoint };
  }

  /** Creates another key table, for example for a restored backup. */
  createTable(name: string): Promise<void> {
    return createKeyTable(this.endpoint, name);
  }

  /** Writes a row, as an attacker with write access to the table could. */
  async put(item: KeyItem | EnvelopeKeyRecord, table = TABLE): Promise<void> {
    const client = new DynamoDBClient({ endpoint: this.endpoint, region: REGION });
    const row = 'encryptedKey' in item ? encodeMarkedItem(item as EnvelopeKeyRecord) : item;
    await client.send(new PutItemCommand({ TableName: table, Item: row }));
  }
}
