import type { Environment } from '../config/app-config.ts';
import type { KeyTable } from '../maintenance/key-table.ts';
import type { Clock } from '../async/clock.ts';
import type { DynamoDbMetastoreOptions } from '../metastore/dynamodb-client.ts';

/** Where a command's words go. Each call is one or more whole lines, without the last line's end. */
export interface Terminal {
  /** The answer: standard output. */
  out(text: string): void;
  /** What is no part of the answer: standard error. */
  err(text: string): void;
  /** Asks the person there, and gives their line, or an empty one where they left; absent where nobody is there. */
  readonly ask?: ((question: string) => Promise<string>) | undefined;
}

/** Who runs a command, as the machine knows them. */
export interface Caller {
  readonly user: string;
  readonly host: string;
}

/** What the commands need of the world; the entry gives the real one. */
export interface CliDependencies {
  readonly environment: Environment;
  readonly terminal: Terminal;
  readonly caller: Caller;
  readonly now: Clock;
  openTable(options: DynamoDbMetastoreOptions): KeyTable;
}

/** How a command ends, as a process's exit code. */
export const EXIT = { ok: 0, failed: 1, usage: 2 } as const;
