import type { Readable } from 'node:stream';
import type { AppConfig, Environment, KmsConfig } from '../config/app-config.ts';
import type { Outcome } from '../connections/inspected-calls.ts';
import type { SessionFactory } from '../envelope/session-factory.ts';
import type { KeyManagementService } from '../envelope/ports.ts';
import type { ErasureTables } from '../maintenance/erasure-table.ts';
import type { DatabaseInspection, KmsInspector, QuotaInspector, TableInspector } from '../maintenance/inspection.ts';
import type { KeyRotation } from '../maintenance/key-rotation.ts';
import type { KeyTable } from '../maintenance/key-table.ts';
import type { RowTransfer } from '../maintenance/row-transfer.ts';
import type { SystemKeyMaintenance } from '../maintenance/system-key-maintenance.ts';
import type { Clock } from '../async/clock.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-options.ts';
import type { RowSource } from '../maintenance/reencryption/rows.ts';
import type { CiphertextOpener } from '../maintenance/reencryption/verbs.ts';
import type { ServiceNames } from '../records/ids.ts';
import type { RowsOptions } from '../rows/rows-options.ts';

/** A text colour on a terminal. */
export type Colour = 'green' | 'yellow' | 'red' | 'dim';

/** Output and input of a process. Each string is one or more lines, without a line feed at the end. */
export interface Terminal {
  /**
   * Writes part of the command's result to standard output.
   * @param colour the colour of the text, if standard output is a terminal with colours
   */
  out(text: string, colour?: Colour): void;
  /**
   * Shows a line on the terminal in place of the last status, or removes it if `text` is empty. Absent if standard
   * error is not a terminal.
   */
  readonly status?: ((text: string) => void) | undefined;
  /** Writes an error or a note to standard error. */
  err(text: string): void;
  /** Writes a line of the audit log to standard error. Rejects if it cannot be written. Default: {@link err}. */
  readonly audit?: ((line: string) => Promise<void>) | undefined;
  /**
   * Asks the operator a question, and returns the line that they type. Returns an empty string if they close the input.
   * Absent if standard input is not a terminal.
   */
  readonly ask?: ((question: string) => Promise<string>) | undefined;
}

/**
 * Output and input of a command. Each string is one line, and hidden characters in it are escaped. So a line feed in
 * the ID of a row cannot imitate another line of output.
 */
export interface CommandTerminal extends Omit<Terminal, 'out' | 'err'> {
  /** Like {@link Terminal.out}, for one or more lines. */
  out(lines: string | readonly string[], colour?: Colour): void;
  /** Like {@link Terminal.err}, for one or more lines. */
  err(lines: string | readonly string[]): void;
}

/** For the audit log: the operating system user who runs the command, and the host. */
export interface Caller {
  readonly user: string;
  readonly host: string;
}

/**
 * The objects that the commands use. src/cli/main.ts passes the environment of the process, and tests pass their own.
 */
export interface CliDependencies<T = CommandTerminal> {
  readonly environment: Environment;
  readonly terminal: T;
  readonly stdin: Readable;
  readonly caller: Caller;
  readonly now: Clock;
  /**
   * Calls `stop` when a signal such as Ctrl+C arrives, instead of ending the process immediately. A second signal ends
   * the process. Returns a function that restores the default behaviour. Absent if the caller handles signals itself.
   */
  readonly onInterrupt?: ((stop: (signal: string) => void) => () => void) | undefined;
  openTable(options: DynamoDbMetastoreOptions): KeyTable;
  openErasureTables(options: DynamoDbMetastoreOptions, names: ServiceNames): ErasureTables;
  /**
   * Opens a transfer of rows from an SQL database.
   * @param url the address of the database, with the password
   * @throws KeyfoldError `InvalidConfiguration` if the URL is not the URL of an SQL database, or if the database's
   * driver is not installed
   */
  openImport(url: string, target: DynamoDbMetastoreOptions): Promise<RowTransfer>;
  openCopy(source: DynamoDbMetastoreOptions, target: DynamoDbMetastoreOptions): RowTransfer;
  /** @throws KeyfoldError `InvalidConfiguration` if the settings do not name a KMS */
  openKms(config: KmsConfig): Promise<KeyManagementService>;
  inspectTable(options: DynamoDbMetastoreOptions): TableInspector;
  inspectKms(region: string, keyArn: string): KmsInspector;
  inspectQuotas(region: string): Promise<QuotaInspector>;
  /** Opens the service's sessions. They do not require a context, even if the settings do. */
  openSessions(config: AppConfig): Promise<Pick<SessionFactory, 'session'>>;
  openRotation(config: AppConfig): Promise<Pick<KeyRotation, 'rotate'>>;
  /**
   * @param dryRun if true, maintenance writes nothing
   * @throws KeyfoldError `InvalidConfiguration` if a static master key is configured
   */
  openMaintenance(config: AppConfig, dryRun: boolean): Promise<Pick<SystemKeyMaintenance, 'run'>>;
  openRows(options: RowsOptions): Promise<RowSource>;
  /** Opens ciphertexts that the AWS KMS action `Encrypt` made in a region, with or without an encryption context. */
  openCiphertexts(region: string, encryptionContext?: Readonly<Record<string, string>>): CiphertextOpener;
  /** Inspects the SQL database that holds the key table. Undefined if DynamoDB holds the table. */
  readonly inspectDatabase?: (() => Promise<Outcome<DatabaseInspection>>) | undefined;
  /**
   * Opens an SQL database that holds the key table. Does not connect yet.
   * @param url the address of the database, with the password
   * @param variable the environment variable that holds the URL
   * @throws KeyfoldError `InvalidConfiguration` if the URL is not the URL of an SQL database, or if the database's
   * driver is not installed
   */
  openDatabase(url: string, variable: string): Promise<DatabaseAdapters>;
  /** The version of Keyfold. */
  readonly version: string;
}

/** The members of {@link CliDependencies} that are different for an SQL database. */
interface DatabaseAdapters extends Pick<
  CliDependencies,
  'openTable' | 'openErasureTables' | 'openImport' | 'openCopy' | 'openRotation' | 'openSessions' | 'openMaintenance'
> {
  readonly inspectDatabase: () => Promise<Outcome<DatabaseInspection>>;
  readonly close: () => Promise<void>;
}

/** Exit codes of the process. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;
