import type { Deployment } from './deployment.ts';

/**
 * The attributes that let a log group or a queue outlive the stack, because logs contain the audit lines and queues
 * contain messages. A resource that could not be created contains neither, and is deleted.
 */
export const KEPT = { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' } as const;

/** The log group property that names the customer's KMS key. Empty if the region has none. */
export function logKeyOf({ storageKeys }: Deployment, region: string): { readonly KmsKeyId?: string } {
  const KmsKeyId = storageKeys[region];
  return KmsKeyId === undefined ? {} : { KmsKeyId };
}
