import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { BatchWriteItemCommand, DynamoDBClient, ScanCommand, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { vi } from 'vitest';
import { createKeyTable, startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import { ensureKeys, functionEnvironment, OPENING, SEALING } from '../../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { FunctionFailure, LocalFunction } from '../../../local/local-function.ts';
import type { MaintenanceReport } from '../../../src/maintenance/system-key-maintenance.ts';

/** The preferred region. */
export const WEST = 'us-west-2';
export const EAST = 'us-east-1';

const TABLE = 'EncryptionKey';
const TIMEOUT_MS = 15_000;
// These tests are slow, because runbooks have many steps, and each step starts a cold process.
vi.setConfig({ testTimeout: 120_000 });

const root = join(import.meta.dirname, '..', '..', '..');

/** A record as a function returns it. Tests read only the name of its key. */
export type Sealed = Readonly<Record<string, unknown>> & { readonly Key: { readonly ParentKeyMeta: KeyName } };

/** Identifies a key, in records and in the commands of the CLI. */
interface KeyName {
  readonly KeyId: string;
  readonly Created: number;
}

/** Environment variables that override those of the deployed functions. */
export type Settings = Readonly<Record<string, string>>;

/** A row of the key table in DynamoDB's attribute format. */
export type Row = Record<string, AttributeValue>;

/** The functions that a runbook's steps use, KMS in two regions, DynamoDB, and the operator's CLI. */
export class RunbookFixture {
  readonly kms: KmsEmulator;
  readonly dynamoDb: LocalDynamoDb;
  readonly #settings: Settings;
  readonly #started: LocalFunction[] = [];
  readonly #lines: string[] = [];

  private constructor(kms: KmsEmulator, dynamoDb: LocalDynamoDb, keys: Readonly<Record<string, string>>) {
    this.kms = kms;
    this.dynamoDb = dynamoDb;
    this.#settings = {
      ...functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys }),
      KEYFOLD_SERVICE: 'orders',
      KEYFOLD_PRODUCT: 'shop',
      // This log level silences the log, but not the metrics, which the tests read.
      POWERTOOLS_LOG_LEVEL: 'SILENT',
    };
    vi.spyOn(process.stdout, 'write').mockImplementation((chunk) => this.#lines.push(...String(chunk).split('\n')) > 0);
  }

  static async start(): Promise<RunbookFixture> {
    const [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDb(TABLE, 0)]);
    const keys = await ensureKeys(kms, [WEST, EAST]);
    return new RunbookFixture(kms, dynamoDb, keys);
  }

  async stop(): Promise<void> {
    await Promise.all(this.#started.map((one) => one.recycle()));
    vi.restoreAllMocks();
    await Promise.all([this.kms.close(), this.dynamoDb.close()]);
  }

  /** Starts a cold process of the function `seal`. */
  seal(settings: Settings = {}): LocalFunction {
    return this.#start('invoke', { KEYFOLD_OPERATIONS: SEALING, ...settings });
  }

  /** Starts a cold process of the function `open`. */
  open(settings: Settings = {}): LocalFunction {
    return this.#start('invoke', { KEYFOLD_OPERATIONS: OPENING, ...settings });
  }

  /** Encrypts a string, in a cold process unless `by` is given. */
  async encrypt(partition: string, text: string, by: LocalFunction = this.seal()): Promise<Sealed> {
    const plaintext = Buffer.from(text).toString('base64');
    const answer = await by.invoke({ operation: 'encrypt', partition, plaintext }, TIMEOUT_MS);
    return (answer as { record: Sealed }).record;
  }

  /** Decrypts a record, in a cold process unless `by` is given. Returns the string, or the error's code. */
  async decrypt(partition: string, record: Sealed, by: LocalFunction = this.open()): Promise<string> {
    try {
      const answer = await by.invoke({ operation: 'decrypt', partition, record }, TIMEOUT_MS);
      return Buffer.from((answer as { plaintext: string }).plaintext, 'base64').toString();
    } catch (error) {
      if (error instanceof FunctionFailure) return error.details.errorType;
      throw error;
    }
  }

  /** Rewraps a record under the partition's latest key. */
  async rewrap(partition: string, record: Sealed): Promise<Sealed> {
    const answer = await this.seal().invoke({ operation: 'rewrap', partition, record }, TIMEOUT_MS);
    return (answer as { record: Sealed }).record;
  }

  /** Runs maintenance, as the schedule or `aws lambda invoke` does. */
  async maintain(settings: Settings = {}): Promise<MaintenanceReport> {
    return (await this.#start('maintenance', settings).invoke({}, TIMEOUT_MS)) as MaintenanceReport;
  }

  /** Runs the CLI, `npm run -s keyfold -- …`, and returns its parsed JSON output. */
  keyfold(args: readonly string[], settings: Settings = {}): Promise<unknown> {
    const env = { ...process.env, ...this.#settings, ...settings };
    return new Promise((resolve, reject) => {
      execFile(process.execPath, ['src/cli/main.ts', ...args, '--json'], { cwd: root, env }, (error, stdout, stderr) =>
        error === null ? resolve(JSON.parse(stdout)) : reject(new Error(stderr)),
      ).stdin?.end();
    });
  }

  /** A KMS client for a region, as its administrator uses it. */
  administrator(region: string): KMSClient {
    return new KMSClient({ region, endpoint: this.kms.endpoint });
  }

  /** A DynamoDB client for the key table, as an operator uses it. */
  operator(): DynamoDBClient {
    return new DynamoDBClient({ region: WEST, endpoint: this.dynamoDb.endpoint });
  }

  async rows(table = TABLE): Promise<Row[]> {
    return (await this.operator().send(new ScanCommand({ TableName: table }))).Items ?? [];
  }

  /** Creates a table with these rows, as a restore from a backup does. */
  async restore(table: string, rows: readonly Row[]): Promise<void> {
    await createKeyTable(this.dynamoDb.endpoint, table);
    const puts = rows.map((Item) => ({ PutRequest: { Item } }));
    await this.operator().send(new BatchWriteItemCommand({ RequestItems: { [table]: puts } }));
  }

  /** Waits until the functions have written this metric with these dimensions. */
  async noticed(metric: string, dimensions: Settings = {}): Promise<void> {
    const isIt = (line: Readonly<Record<string, unknown>>): boolean =>
      line[metric] !== undefined && Object.entries(dimensions).every(([name, value]) => line[name] === value);
    await vi.waitFor(
      () => {
        if (!this.#written().some(isIt)) throw new Error(`${metric} ${JSON.stringify(dimensions)} was not written`);
      },
      { timeout: 5000 },
    );
  }

  #written(): Record<string, unknown>[] {
    return this.#lines
      .filter((line) => line.startsWith('{'))
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  #start(handler: 'invoke' | 'maintenance', settings: Settings): LocalFunction {
    const module = new URL(`../../../handlers/${handler}.ts`, import.meta.url).href;
    const one = new LocalFunction(module, { ...this.#settings, ...settings });
    this.#started.push(one);
    return one;
  }
}

/** Whether, according to a maintenance report, every region opens every System Key without a fault. */
export function isWell(report: MaintenanceReport): boolean {
  return report.systemKeys.every(
    ({ fault, regions }) =>
      fault === undefined && regions.every((region) => region.opens && region.fault === undefined),
  );
}
