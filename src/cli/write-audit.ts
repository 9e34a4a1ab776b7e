import { openAudit, type KeyAuditLine } from './audit.ts';
import type { CliDependencies } from './dependencies.ts';
import type { TablePlace } from '../maintenance/key-table.ts';

/** The audit log's options, which every writing command has. */
export interface AuditedRequest {
  readonly dryRun: boolean;
  readonly reason: string | undefined;
  readonly auditFile: string | undefined;
}

interface AuditedKey {
  readonly id: string;
  readonly created: KeyAuditLine['created'];
}

/**
 * Opens the audit log for one command.
 * @returns a function that writes one audit line. Commands call it before and after they change a key.
 */
export async function auditOf(
  action: KeyAuditLine['action'],
  request: AuditedRequest,
  place: TablePlace,
  { terminal, now, caller }: CliDependencies,
): Promise<(key: AuditedKey, outcome: KeyAuditLine['outcome']) => Promise<void>> {
  const audit = await openAudit(request.auditFile, terminal);
  const { reason = null, dryRun } = request;
  return ({ id, created }, outcome) => {
    const time = new Date(now()).toISOString();
    return audit({ time, action, id, created, reason, ...place, caller, dryRun, outcome });
  };
}
