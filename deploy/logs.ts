import type { Deployment } from './deployment.ts';

/**
 * The attributes that keep a log group or a queue when its stack is deleted, because the log group or queue contains
 * audit lines or messages. If CloudFormation rolls back the creation of the resource, it deletes the resource, which is
 * still empty.
 */
export const KEPT = { DeletionPolicy: 'RetainExceptOnCreate', UpdateReplacePolicy: 'Retain' } as const;

/** The log group property that names the customer's KMS key. Empty if the region has none. */
export function logKeyOf({ storageKeys }: Deployment, region: string): { readonly KmsKeyId?: string } {
  const KmsKeyId = storageKeys[region];
  return KmsKeyId === undefined ? {} : { KmsKeyId };
}
