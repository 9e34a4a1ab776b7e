import type { Deployment } from './deployment.ts';

/**
 * The attributes of a log group or a queue, which outlive the stack: logs contain the audit, and queues messages. A
 * resource that could not be created has neither, and is deleted.
 */
export const KEPT = { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' } as const;

/** The property of a log group for a customer's key. Empty if the region has none. */
export function logKeyOf({ storageKeys }: Deployment, region: string): { readonly KmsKeyId?: string } {
  const KmsKeyId = storageKeys[region];
  return KmsKeyId === undefined ? {} : { KmsKeyId };
}
