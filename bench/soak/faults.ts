import type { FaultInput } from '../../emulators/kms/faults.ts';
import type { DynamoDbFault } from '../../test/support/dynamodb-proxy.ts';
import type { Seeded } from '../../test/support/seeded.ts';

/** The KMS and DynamoDB faults during one period of a soak test. */
export interface FaultSchedule {
  /** The fault of each region, in the order of the regions. Undefined for a region without a fault. */
  readonly kms: readonly (FaultInput | undefined)[];
  readonly dynamoDb: DynamoDbFault | undefined;
  /** Whether a region has a permanent fault in this period. */
  readonly isLasting: boolean;
  /** The share of the DynamoDB calls that fail, from 0 to 1. */
  readonly dynamoDbRate: number;
}

/** Transient KMS faults, which may affect several regions at the same time. Callers must see only retryable errors. */
const PASSING: readonly FaultInput[] = [
  { kind: 'down' },
  { kind: 'hang' },
  { kind: 'reset' },
  { kind: 'garbage' },
  { kind: 'latency', ms: 150 },
  { kind: 'throttle', perSecond: 1 },
  { kind: 'error', name: 'KMSInternalException', status: 500 },
  { kind: 'error', name: 'DependencyTimeoutException', status: 503, rate: 0.5 },
  { kind: 'error', name: 'ThrottlingException', rate: 0.5 },
];
/**
 * Permanent KMS faults, which an operator must fix. They affect only decrypts in one region at a time. If they affected
 * all regions, or the wrapping of new keys, it would be correct for requests to fail permanently.
 */
const LASTING: readonly FaultInput[] = [
  'AccessDeniedException',
  'DisabledException',
  'KMSInvalidStateException',
  'NotFoundException',
  'InvalidCiphertextException',
].map((name) => ({ kind: 'error', name, actions: ['Decrypt'] }));
const OF_DYNAMODB: readonly DynamoDbFault[] = [
  { kind: 'refuse' },
  { kind: 'hang' },
  { kind: 'stall' },
  { kind: 'garbage' },
  { kind: 'answer lost' },
  { kind: 'error', name: 'InternalServerError', status: 500 },
  { kind: 'error', name: 'ProvisionedThroughputExceededException', status: 400 },
];

/**
 * Picks the next faults. Half of the time there are none. Otherwise one region, all regions, DynamoDB or a mix of them
 * fails.
 */
export function nextFaultSchedule(random: Seeded, regions: number): FaultSchedule {
  const kms = Array.from({ length: regions }, () => undefined);
  const fair: FaultSchedule = { kms, isLasting: false, dynamoDb: undefined, dynamoDbRate: 0 };
  if (random.chance(0.5)) return fair;
  const dynamoDb = random.chance(0.4) ? random.of(OF_DYNAMODB) : undefined;
  const dynamoDbRate = random.chance(0.5) ? 1 : 0.3;
  if (random.chance(0.2)) return { ...fair, kms: kms.map(() => random.of(PASSING)), dynamoDb, dynamoDbRate };
  const struck = random.below(regions);
  const fault = random.of([...PASSING, ...LASTING]);
  const isLasting = LASTING.includes(fault);
  return { kms: kms.map((_, i) => (i === struck ? fault : undefined)), isLasting, dynamoDb, dynamoDbRate };
}
