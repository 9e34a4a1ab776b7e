import { appendFile } from 'node:fs/promises';
import { printableJson } from './text.ts';
import type { Caller, Terminal } from './dependencies.ts';

/** How an attempt to revoke a key stands. After `attempting` or `failed` the row may have been changed, or not. */
export type RevokeOutcome =
  'attempting' | 'revoked' | 'would-revoke' | 'already-revoked' | 'absent' | 'refused' | 'declined' | 'failed';

/** One line of the audit, as JSON: who did what to which key, when, and with what outcome. */
interface AuditEntry {
  /** ISO 8601. */
  readonly time: string;
  readonly action: 'keys revoke';
  readonly id: string;
  /** In seconds since 1970; `latest` where that is what was asked for and no row was found. */
  readonly created: number | 'latest';
  readonly reason: string | null;
  readonly table: string;
  readonly region: string;
  readonly caller: Caller;
  readonly dryRun: boolean;
  readonly outcome: RevokeOutcome;
}

/** Writes one entry. */
export type Audit = (entry: AuditEntry) => Promise<void>;

/**
 * Opens the audit: a file that is appended to, or the terminal's standard error.
 * @throws Error of node:fs where the file cannot be written, before anything is done that should be in it
 */
export async function openAudit(file: string | undefined, terminal: Terminal): Promise<Audit> {
  if (file === undefined) return async (entry) => terminal.err(printableJson(entry));
  await appendFile(file, '', { mode: 0o600 });
  return (entry) => appendFile(file, `${printableJson(entry)}\n`);
}
