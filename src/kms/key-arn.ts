import { partition } from '@aws-sdk/core/client';
import { isRegionName } from '../records/ids.ts';

/** The parts of a KMS ARN that Keyfold checks. */
export interface KmsArn {
  readonly region: string;
  /** The AWS account, twelve digits. */
  readonly account: string;
  readonly kind: 'key' | 'alias';
}

const ARN = /^arn:aws[a-z-]*:kms:([a-z0-9-]+):(\d{12}):(?:(key)\/[A-Za-z0-9-]+|alias\/[A-Za-z0-9/_-]+)$/;

/** Matches the aliases of AWS managed keys. */
const AWS_MANAGED_ALIAS = /:alias\/aws\//;
/** An alias has at most 256 characters, and the rest of the ARN is shorter than 64. */
const MAX_ARN_LENGTH = 320;

/** Parses a key ARN or an alias ARN. Returns `undefined` for a bare key id, an alias name or any other text. */
export function parseKmsArn(text: string): KmsArn | undefined {
  const [, region, account, kind] = ARN.exec(text) ?? [];
  if (region === undefined || account === undefined) return undefined;
  return { region, account, kind: kind === 'key' ? 'key' : 'alias' };
}

/** Says that an ARN is not of the AWS partition of its region, because AWS refuses such an ARN. Empty if it is. */
export function awsPartitionFaults(arn: string, region: string): string[] {
  const [, named] = arn.split(':');
  const { name } = partition(region);
  return named === name ? [] : [`is of the AWS partition ${named}, and ${region} of ${name}`];
}

/**
 * Lists every fault in a map of regions to KMS keys and in the preferred region. The list is empty if all are valid.
 */
export function keyFaults(keys: Readonly<Record<string, string>>, preferredRegion: string): string[] {
  const faults = Object.entries(keys).flatMap(([region, arn]) => {
    const parsed = parseKmsArn(arn);
    if (parsed === undefined) return [`the KMS key of ${region} is neither a key ARN nor an alias ARN`];
    if (!isRegionName(region)) return ['a KMS key is of what is not the name of an AWS region'];
    if (AWS_MANAGED_ALIAS.test(arn))
      return [`the KMS key of ${region} is one of AWS's own, which only AWS services can use`];
    if (arn.length > MAX_ARN_LENGTH) return [`the ARN of the KMS key of ${region} is too long`];
    if (parsed.region !== region) return [`the KMS key of ${region} is in ${parsed.region}`];
    return awsPartitionFaults(arn, region).map((fault) => `the KMS key of ${region} ${fault}`);
  });
  const partitions = new Set(Object.values(keys).map((arn) => arn.split(':')[1]));
  if (faults.length === 0 && partitions.size > 1) {
    faults.push(`the KMS keys are of several partitions of AWS (${[...partitions].join(', ')}), which share nothing`);
  }
  if (Object.keys(keys).length === 0) faults.push('no KMS region is configured');
  else if (!Object.hasOwn(keys, preferredRegion)) faults.push(`the preferred region ${preferredRegion} has no KMS key`);
  return faults;
}
