import { appendLine, checkName, prepareFile } from './output-files.ts';
import { printableJson } from './text.ts';
import type { Caller, CommandTerminal } from './dependencies.ts';

/** The outcome of an attempt to revoke a key. After `attempting` or `failed`, the row may or may not be revoked. */
export type RevokeOutcome =
  'attempting' | 'revoked' | 'would-revoke' | 'already-revoked' | 'absent' | 'refused' | 'declined' | 'failed';

/** The outcome of an attempt to prove a row. After `attempting` or `failed`, the row may or may not have a proof. */
export type ProveOutcome = 'attempting' | 'proven' | 'changed' | 'failed';

/** The outcome of an attempt to rotate a key. After `attempting` or `failed`, there may or may not be a new key. */
type RotateOutcome = 'attempting' | 'rotated' | 'raced' | 'erased' | 'failed';

/** The outcome of a maintenance run. After `attempting` or `failed`, wraps may have been renewed. */
type MaintainOutcome = 'attempting' | 'maintained' | 'would-maintain' | 'failed';

/**
 * The outcome of a step of an erasure. After `attempting` or `failed`, the rows may or may not have been written. After
 * `incomplete`, rows are left.
 */
export type EraseOutcome =
  'attempting' | 'begun' | 'cancelled' | 'deleted' | 'incomplete' | 'would-write' | 'refused' | 'declined' | 'failed';

/** The outcome of a re-encryption. After `attempting` or `failed`, some rows may have been written. */
export type ReencryptOutcome = 'attempting' | 'done' | 'would-write' | 'failed';

/** The members of every audit line, such as the caller and the reason. */
interface RunAuditLine {
  /** ISO 8601. */
  readonly time: string;
  readonly reason: string | null;
  readonly caller: Caller;
  readonly dryRun: boolean;
}

/** The additional members of every audit line about the key table. */
interface AuditLine extends RunAuditLine {
  readonly table: string;
  readonly region: string;
}

export interface KeyAuditLine extends AuditLine {
  readonly action: 'keys revoke' | 'keys prove' | 'keys rotate' | 'maintain';
  readonly id: string;
  /** The key's creation time in seconds since 1970. `latest` if the command requested `latest` and no row was found. */
  readonly created: number | 'latest';
  readonly outcome: RevokeOutcome | ProveOutcome | RotateOutcome | MaintainOutcome;
}

/** A line about the erasure of a partition. */
interface EraseAuditLine extends AuditLine {
  readonly action: 'partitions erase';
  readonly partition: string;
  readonly step: string;
  /** The ID of the erasure. Null before the erasure has begun. */
  readonly erase: string | null;
  /** When the rows may be deleted, in seconds since 1970. */
  readonly due: number | null;
  /** The number of the partition's key rows, not counting tombstones. */
  readonly rows: number;
  readonly outcome: EraseOutcome;
}

/** An audit line about a re-encryption. If the run resumed from a checkpoint, the counts include the earlier runs. */
interface ReencryptAuditLine extends RunAuditLine {
  readonly action: 'reencrypt';
  readonly source: string;
  readonly verb: string;
  readonly rows: number;
  readonly written: number;
  readonly quarantined: number;
  readonly outcome: ReencryptOutcome;
}

/** The outcome of `table import` or `table copy`. After `attempting` or `failed`, some rows may have been added. */
export type TransferOutcome = 'attempting' | 'transferred' | 'failed';

/** An audit line about rows that a command copies to the table from another store. */
interface TransferAuditLine extends AuditLine {
  readonly action: 'table import' | 'table copy';
  readonly from: string;
  /** The number of the source's rows that were not in the table when the line was written. */
  readonly missing: number;
  /** The number of rows that this run has added. */
  readonly added: number;
  readonly outcome: TransferOutcome;
}

/** One line of the audit log, written as JSON. */
type AuditEntry = KeyAuditLine | EraseAuditLine | ReencryptAuditLine | TransferAuditLine;

/** Writes one entry to the audit log. */
export type Audit = (entry: AuditEntry) => Promise<void>;

/**
 * Writes the audit line of a step that failed. The caller then throws the step's error.
 * @throws AggregateError with both errors if the line cannot be written, so that the operator sees both.
 */
export async function auditFailure(stepError: unknown, record: () => Promise<void>): Promise<void> {
  await record().catch((auditError: unknown) => {
    throw new AggregateError([stepError, auditError]);
  });
}

/**
 * Opens the audit log.
 * @param file the file to append to. If undefined, entries go to standard error.
 * @throws KeyfoldError `InvalidRequest` if the file cannot be written. The command fails before it changes a key.
 */
export async function openAudit(file: string | undefined, terminal: CommandTerminal): Promise<Audit> {
  const { audit = async (line) => terminal.err(line) } = terminal;
  if (file === undefined) return (entry) => audit(printableJson(entry));
  checkName('--audit-file', file);
  await prepareFile(file);
  return (entry) => appendLine(file, printableJson(entry));
}
