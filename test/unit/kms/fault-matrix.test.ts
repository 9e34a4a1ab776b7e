/** Tests over HTTP how each kind of request ends under each KMS fault, in one region or in both. */
import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { startDynamoDb, type LocalDynamoDb } from '../../../local/dynamodb.ts';
import type { FaultInput } from '../../../emulators/kms/faults.ts';
import { mustOpen, outcomeOf, REQUEST_NAMES, REQUESTS, type RequestName } from '../../support/requests.ts';
import { EAST, WEST, WireFixture } from '../../support/wire-fixture.ts';

// A throttled request tries another region first in 6 % of the cases, but never if the random value is 0.5. The value
// must be set before the imports, because a module may keep a reference to Math.random.
vi.hoisted(() => vi.spyOn(Math, 'random').mockReturnValue(0.5));

/** The timeout for a region that hangs. */
const HANGING_TIMEOUT_MS = 1000;
/**
 * The timeout for all other faults. It is longer than any request may take, so a cell of the matrix fails if its
 * request waits for this timeout.
 */
const LONG_TIMEOUT_MS = 20_000;
const SLACK_MS = 5000;
const FAILOVER = { maxRounds: 3, baseDelayMs: 5, longestDelayMs: 20, throttledDelayMs: 40 };
/** The longest total of all delays. There is a delay before each round except the first. */
const DELAYS_MS = (FAILOVER.maxRounds - 1) * FAILOVER.throttledDelayMs;
/** How long a cell waits after a request has ended, to see whether the process makes further calls. */
const AFTERMATH_MS = 300;

const PLACES = { preferred: [WEST], other: [EAST], all: [WEST, EAST] } as const;
type Place = keyof typeof PLACES;

const FAULTS = {
  refuse: { kind: 'down' },
  hang: { kind: 'hang' },
  slow: { kind: 'latency', ms: 100 },
  '5xx': { kind: 'error', name: 'KMSInternalException', status: 500 },
  throttle: { kind: 'throttle', perSecond: 0 },
  disabled: 'Disabled',
  'pending deletion': 'PendingDeletion',
  denied: { kind: 'error', name: 'AccessDeniedException' },
  'not found': { kind: 'error', name: 'NotFoundException' },
  garbage: { kind: 'garbage' },
  reset: { kind: 'reset' },
} as const satisfies Record<string, FaultInput | 'Disabled' | 'PendingDeletion'>;
type Fault = keyof typeof FAULTS;

/**
 * For each fault and each place where it occurs, how the four requests must end and which calls they must make. Calls
 * are written as west/east, with G for GenerateDataKey, E for Encrypt and D for Decrypt. The preferred region is the
 * west.
 * - If no region responds, a transient fault takes three rounds, and a permanent fault takes one.
 * - If the preferred region throttles, the second and the third round try only that region.
 * - Keyfold also wraps a new key in the region that has just failed, because the fault may be over.
 */
const MATRIX: readonly (readonly [Fault, Place, ...string[]])[] = [
  // Columns: fault, place, encrypt with a new SK, encrypt with a known SK, decrypt cold, decrypt warm.
  ['refuse', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['refuse', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['refuse', 'all', 'KmsUnavailable GGG/GGG', 'KmsUnavailable DDD/DDD', 'KmsUnavailable DDD/DDD', 'ok -/-'],

  ['hang', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['hang', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['hang', 'all', 'KmsUnavailable GGG/GGG', 'KmsUnavailable DDD/DDD', 'KmsUnavailable DDD/DDD', 'ok -/-'],

  ['slow', 'preferred', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['slow', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['slow', 'all', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],

  ['5xx', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['5xx', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['5xx', 'all', 'KmsUnavailable GGG/GGG', 'KmsUnavailable DDD/DDD', 'KmsUnavailable DDD/DDD', 'ok -/-'],

  ['throttle', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['throttle', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['throttle', 'all', 'KmsThrottled GGG/G', 'KmsThrottled DDD/D', 'KmsThrottled DDD/D', 'ok -/-'],

  ['disabled', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['disabled', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['disabled', 'all', 'KmsMisconfigured G/G', 'KmsMisconfigured D/D', 'KmsMisconfigured D/D', 'ok -/-'],

  ['pending deletion', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['pending deletion', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['pending deletion', 'all', 'KmsMisconfigured G/G', 'KmsMisconfigured D/D', 'KmsMisconfigured D/D', 'ok -/-'],

  ['denied', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['denied', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['denied', 'all', 'KmsMisconfigured G/G', 'KmsMisconfigured D/D', 'KmsMisconfigured D/D', 'ok -/-'],

  ['not found', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['not found', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['not found', 'all', 'KmsMisconfigured G/G', 'KmsMisconfigured D/D', 'KmsMisconfigured D/D', 'ok -/-'],

  ['garbage', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['garbage', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['garbage', 'all', 'KmsUnavailable GGG/GGG', 'KmsUnavailable DDD/DDD', 'KmsUnavailable DDD/DDD', 'ok -/-'],

  ['reset', 'preferred', 'ok GE/G', 'ok D/D', 'ok D/D', 'ok -/-'],
  ['reset', 'other', 'ok G/E', 'ok D/-', 'ok D/-', 'ok -/-'],
  ['reset', 'all', 'KmsUnavailable GGG/GGG', 'KmsUnavailable DDD/DDD', 'KmsUnavailable DDD/DDD', 'ok -/-'],
];

let dynamoDb: LocalDynamoDb;
let cells = 0;

beforeAll(async () => {
  dynamoDb = await startDynamoDb('EncryptionKey', 0);
});
afterAll(() => dynamoDb.close());

/** Starts a fixture with its own KMS. All fixtures share one DynamoDB table. */
async function startFixture(requestTimeoutMs: number): Promise<WireFixture> {
  cells += 1;
  const timeouts = { connectionTimeoutMs: LONG_TIMEOUT_MS, requestTimeoutMs };
  return WireFixture.start({
    dynamoDb: dynamoDb.endpoint,
    service: `cell-${cells}`,
    kms: { failover: FAILOVER, timeouts },
  });
}

async function faultOf(world: WireFixture, name: Fault, place: Place): Promise<void> {
  const fault = FAULTS[name];
  for (const region of PLACES[place]) {
    if (typeof fault === 'string') await world.setKeyState(region, fault);
    else world.setFault(region, fault);
  }
  world.kms.resetCalls();
}

/** Runs one cell of the matrix. Returns the outcome of the request, and the calls that it made. */
async function cell(name: RequestName, fault: Fault, place: Place, expected: string): Promise<string> {
  const world = await startFixture(fault === 'hang' ? HANGING_TIMEOUT_MS : LONG_TIMEOUT_MS);
  try {
    const request = await REQUESTS[name](() => world.process());
    await faultOf(world, fault, place);
    const mostCalls = expected.replace(/.* /, '').length;
    const waitsMs = fault === 'hang' ? mostCalls * HANGING_TIMEOUT_MS : 0;
    const { code, record } = await outcomeOf(request, waitsMs + DELAYS_MS + SLACK_MS);
    const calls = world.kmsCalls();
    await sleep(AFTERMATH_MS);
    expect(world.kmsCalls(), `${name}: no call may follow the answer`).toBe(calls);
    await world.recover();
    // Once the fault has ended, the same process succeeds, and a cold process opens every record.
    const later = await outcomeOf(request, SLACK_MS);
    expect(later.code, `${name}: the code after the fault has ended`).toBe('ok');
    for (const one of [record, later.record]) if (one !== undefined) await mustOpen(world.process(), one);
    return `${code} ${calls}`;
  } finally {
    await world.stop();
  }
}

describe.concurrent('requests with a new and a known System Key, cold and warm', () => {
  it.for(MATRIX)(
    'end with the expected codes and calls under the KMS fault "%s" (regions: %s)',
    async ([fault, place, ...expected]) => {
      const cellOf = (name: RequestName, i: number): Promise<string> => cell(name, fault, place, expected[i] ?? '');
      expect(await Promise.all(REQUEST_NAMES.map(cellOf))).toEqual(expected);
    },
  );
});

it('the fault matrix has each fault once for each choice of regions', () => {
  const all = Object.keys(FAULTS).flatMap((fault) => Object.keys(PLACES).map((place) => `${fault} ${place}`));
  expect(MATRIX.map(([fault, place]) => `${fault} ${place}`).toSorted()).toEqual(all.toSorted());
});
