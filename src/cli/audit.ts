import { appendFile } from 'node:fs/promises';
import { printableJson } from './text.ts';
import type { Caller, Terminal } from './dependencies.ts';

/** The outcome of an attempt to revoke a key. After `attempting` or `failed`, the row may or may not be revoked. */
export type RevokeOutcome =
  'attempting' | 'revoked' | 'would-revoke' | 'already-revoked' | 'absent' | 'refused' | 'declined' | 'failed';

/** The outcome of an attempt to prove a row. After `attempting` or `failed`, the row may or may not have a proof. */
export type ProveOutcome = 'attempting' | 'proven' | 'changed' | 'failed';

/** The outcome of an attempt to rotate a key. After `attempting` or `failed`, there may or may not be a new key. */
type RotateOutcome = 'attempting' | 'rotated' | 'raced' | 'failed';

/** The outcome of a maintenance run. After `attempting` or `failed`, wraps may have been renewed. */
type MaintainOutcome = 'attempting' | 'maintained' | 'would-maintain' | 'failed';

/** One line of the audit, written as JSON: the caller, the action, the key, the time and the outcome. */
export interface AuditEntry {
  /** ISO 8601. */
  readonly time: string;
  readonly action: 'keys revoke' | 'keys prove' | 'keys rotate' | 'maintain';
  readonly id: string;
  /** The key's creation time in seconds since 1970. `latest` if the command requested `latest` and no row was found. */
  readonly created: number | 'latest';
  readonly reason: string | null;
  readonly table: string;
  readonly region: string;
  readonly caller: Caller;
  readonly dryRun: boolean;
  readonly outcome: RevokeOutcome | ProveOutcome | RotateOutcome | MaintainOutcome;
}

/** Writes one entry to the audit. */
export type Audit = (entry: AuditEntry) => Promise<void>;

/**
 * Opens the audit.
 * @param file the file to append to. If undefined, entries go to standard error.
 * @throws Error of node:fs if the file cannot be written. The command fails before it changes a key.
 */
export async function openAudit(file: string | undefined, terminal: Terminal): Promise<Audit> {
  if (file === undefined) return async (entry) => terminal.err(printableJson(entry));
  await appendFile(file, '', { mode: 0o600 });
  return (entry) => appendFile(file, `${printableJson(entry)}\n`);
}
