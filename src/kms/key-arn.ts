import { partition } from '@aws-sdk/core/client';
import { escapeHidden } from '../input/hidden-characters.ts';
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

/**
 * Lists what is wrong with the AWS partition that an ARN names. AWS rejects an ARN whose region belongs to another AWS
 * partition. The list is empty if nothing is wrong.
 */
export function awsPartitionFaults(arn: string, region: string): string[] {
  const [, named] = arn.split(':');
  const { name } = partition(region);
  return named === name ? [] : [`is of the AWS partition ${named}, and ${region} of ${name}`];
}

/**
 * Lists everything that is wrong with a map of regions to KMS keys, and with the preferred region. The list is empty if
 * all are valid.
 */
export function keyFaults(keys: Readonly<Record<string, string>>, preferredRegion: string): string[] {
  const faults = Object.entries(keys).flatMap(([name, arn]) => {
    const region = escapeHidden(name);
    const parsed = parseKmsArn(arn);
    if (parsed === undefined) return [`the KMS key of ${region} is neither a key ARN nor an alias ARN`];
    if (!isRegionName(name)) return [`the KMS keys name the region "${region}", which is not an AWS region`];
    if (AWS_MANAGED_ALIAS.test(arn))
      return [`the KMS key of ${region} is an AWS managed key (alias/aws/…), which only AWS services can use`];
    if (arn.length > MAX_ARN_LENGTH)
      return [`the ARN of the KMS key of ${region} has more than ${MAX_ARN_LENGTH} characters`];
    if (parsed.region !== region) return [`the ARN of the KMS key of ${region} is in the region ${parsed.region}`];
    return awsPartitionFaults(arn, region).map((fault) => `the KMS key of ${region} ${fault}`);
  });
  const partitions = new Set(Object.values(keys).map((arn) => arn.split(':')[1]));
  if (faults.length === 0 && partitions.size > 1) {
    faults.push(
      `the KMS keys are in several AWS partitions (${[...partitions].join(', ')}): credentials work in only one`,
    );
  }
  if (Object.keys(keys).length === 0) faults.push('no KMS key is configured: name one for at least one region');
  else if (!Object.hasOwn(keys, preferredRegion))
    faults.push(`the preferred region ${escapeHidden(preferredRegion)} has no KMS key`);
  return faults;
}
