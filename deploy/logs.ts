import type { Deployment } from './deployment.ts';

/**
 * The attributes that let a log group or a queue outlive the stack, because it contains audit lines or messages. If the
 * creation is rolled back, the resource is still empty, so CloudFormation deletes it.
 */
export const KEPT = { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' } as const;

/** The log group property that names the customer's KMS key. Empty if the region has none. */
export function logKeyOf({ storageKeys }: Deployment, region: string): { readonly KmsKeyId?: string } {
  const KmsKeyId = storageKeys[region];
  return KmsKeyId === undefined ? {} : { KmsKeyId };
}
