import type { FaultInput } from '../../emulators/kms/faults.ts';
import type { DynamoDbFault } from '../../test/support/dynamodb-proxy.ts';
import type { Seeded } from '../../test/support/seeded.ts';

/** What the world suffers from for a while. */
export interface Weather {
  /** In the order of the regions; undefined for one that is well. */
  readonly kms: readonly (FaultInput | undefined)[];
  readonly dynamoDb: DynamoDbFault | undefined;
  /** Whether a region refuses for good. */
  readonly isLasting: boolean;
  /** Of DynamoDB's calls, how many its fault befalls. */
  readonly dynamoDbRate: number;
}

/** From which a region, or all at once, may recover: a caller sees retryable errors alone. */
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
 * Which somebody must act upon. They befall one region at a time and its decrypts alone: all regions, or one that must
 * wrap a new key, would rightly refuse requests for good.
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

/** What comes next: fair weather half the time, else trouble in a region, in all, in DynamoDB, or in several. */
export function nextWeather(random: Seeded, regions: number): Weather {
  const kms = Array.from({ length: regions }, () => undefined);
  const fair: Weather = { kms, isLasting: false, dynamoDb: undefined, dynamoDbRate: 0 };
  if (random.chance(0.5)) return fair;
  const dynamoDb = random.chance(0.4) ? random.of(OF_DYNAMODB) : undefined;
  const dynamoDbRate = random.chance(0.5) ? 1 : 0.3;
  if (random.chance(0.2)) return { ...fair, kms: kms.map(() => random.of(PASSING)), dynamoDb, dynamoDbRate };
  const struck = random.below(regions);
  const fault = random.of([...PASSING, ...LASTING]);
  const isLasting = LASTING.includes(fault);
  return { kms: kms.map((_, i) => (i === struck ? fault : undefined)), isLasting, dynamoDb, dynamoDbRate };
}
