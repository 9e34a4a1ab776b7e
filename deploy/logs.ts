import type { Deployment } from './deployment.ts';

/** The attributes of a log group. The logs contain the audit, so they outlive the stack. */
export const KEPT_LOG = { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' } as const;

/** The property of a log group for a customer's key. Empty if the region has none. */
export function logKeyOf({ storageKeys }: Deployment, region: string): { readonly KmsKeyId?: string } {
  const KmsKeyId = storageKeys[region];
  return KmsKeyId === undefined ? {} : { KmsKeyId };
}
