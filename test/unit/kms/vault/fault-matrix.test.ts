/** Tests over HTTP how each kind of request ends under each Vault fault, at one address or at both. */
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { MemoryMetastore, SessionFactory, type Attempt } from '../../../../src/index.ts';
import { VaultKms } from '../../../../src/kms/vault/index.ts';
import { DAY_MS } from '../../../support/fakes.ts';
import { mustOpen, outcomeOf, REQUEST_NAMES, REQUESTS, type RequestName } from '../../../support/requests.ts';
import { StubCluster, StubVault, VAULT_FAULTS, type VaultFault } from '../../../support/stub-vault.ts';

// A throttled request tries another address first in 6 % of the cases, but never if the random value is 0.5.
vi.hoisted(() => vi.spyOn(Math, 'random').mockReturnValue(0.5));

/** The timeout for an address that hangs. */
const HANGING_TIMEOUT_MS = 500;
/**
 * The timeout for all other faults. It is longer than any request may take, so a cell of the matrix fails if its
 * request waits for this timeout.
 */
const LONG_TIMEOUT_MS = 20_000;
const SLACK_MS = 9000;
const FAILOVER = { maxRounds: 3, baseDelayMs: 5, longestDelayMs: 20, throttledDelayMs: 40 };
const DELAYS_MS = (FAILOVER.maxRounds - 1) * FAILOVER.throttledDelayMs;
/** How long a cell waits after a request has ended, to see whether the process makes further calls. */
const AFTERMATH_MS = 100;

const PLACES = { first: [0], other: [1], all: [0, 1] } as const;
type Place = keyof typeof PLACES;

/**
 * The outcomes of four requests: encrypt with a new System Key, encrypt with a known one, decrypt cold, decrypt warm.
 */
const FIRST_FAILS = ['ok E/E', 'ok D/D', 'ok D/D', 'ok -/-'];
const NOT_NOTICED = ['ok E/-', 'ok D/-', 'ok D/-', 'ok -/-'];
const everyTime = (code: string, encrypts: string, decrypts = encrypts.replaceAll('E', 'D')): string[] => [
  `${code} ${encrypts}`,
  `${code} ${decrypts}`,
  `${code} ${decrypts}`,
  'ok -/-',
];
/** Transient faults take three rounds. After throttling at the first address, later rounds try only that address. */
const UNAVAILABLE = everyTime('KmsUnavailable', 'EEE/EEE');
const MISCONFIGURED = everyTime('KmsMisconfigured', 'E/E');

/** The attempts are written as first address/other address, with E for Encrypt and D for Decrypt. */
const OF_ALL: Readonly<Record<VaultFault, readonly string[]>> = {
  refuse: UNAVAILABLE,
  hang: UNAVAILABLE,
  slow: NOT_NOTICED,
  '5xx': UNAVAILABLE,
  sealed: UNAVAILABLE,
  standby: UNAVAILABLE,
  '403': MISCONFIGURED,
  '429': everyTime('KmsThrottled', 'EEE/E'),
  'missing key': MISCONFIGURED,
  // With a trimmed version, a new key can still be wrapped, because Vault always allows the key's latest version.
  'trimmed version': ['ok E/-', ...MISCONFIGURED.slice(1)],
  garbage: UNAVAILABLE,
  reset: UNAVAILABLE,
};

function expectedOf(fault: VaultFault, place: Place): readonly string[] {
  if (place === 'all') return OF_ALL[fault];
  if (place === 'other' || fault === 'slow') return NOT_NOTICED;
  return fault === 'trimmed version' ? ['ok E/-', ...FIRST_FAILS.slice(1)] : FIRST_FAILS;
}

/** Runs one cell of the matrix. Returns the outcome of the request and the attempts that it made. */
async function cell(name: RequestName, fault: VaultFault, place: Place): Promise<string> {
  const cluster = new StubCluster();
  const stubs = [await StubVault.start(cluster), await StubVault.start(cluster)];
  const metastore = new MemoryMetastore();
  const attempts: Attempt[] = [];
  const start = (): SessionFactory => {
    const kms = new VaultKms({
      addresses: stubs.map(({ url }) => url),
      transitKey: 'keyfold',
      auth: { method: 'token', token: 'fixed' },
      requestTimeoutMs: fault === 'hang' ? HANGING_TIMEOUT_MS : LONG_TIMEOUT_MS,
      failover: FAILOVER,
      events: { attempted: (attempt) => void attempts.push(attempt) },
    });
    const policy = { createDatePrecisionMs: DAY_MS };
    return new SessionFactory({ service: 'matrix', product: 'keyfold', kms, metastore, policy });
  };
  const callsAt = (stub: StubVault | undefined): string =>
    attempts
      .filter(({ region }) => stub?.url.endsWith(region))
      .map(({ action }) => action.charAt(0))
      .join('') || '-';
  const calls = (): string => stubs.map(callsAt).join('/');
  try {
    const request = await REQUESTS[name](start);
    attempts.length = 0;
    for (const at of PLACES[place]) await stubs[at]?.befall(fault);
    const waitsMs = fault === 'hang' ? 6 * HANGING_TIMEOUT_MS : 0;
    const { code, record } = await outcomeOf(request, waitsMs + DELAYS_MS + SLACK_MS);
    const made = calls();
    await sleep(AFTERMATH_MS);
    expect(calls(), `${name}: no call may follow the answer`).toBe(made);
    for (const stub of stubs) await stub.befall(undefined);
    // When the fault has ended, the same process succeeds, and a cold process opens every record.
    const later = await outcomeOf(request, SLACK_MS);
    expect(later.code, `${name}: the code after the fault has ended`).toBe('ok');
    for (const one of [record, later.record]) if (one !== undefined) await mustOpen(start(), one);
    return `${code} ${made}`;
  } finally {
    await Promise.all(stubs.map((stub) => stub.stop()));
  }
}

describe.concurrent('requests of cold and warm processes, with a new or an existing System Key,', () => {
  const rows = VAULT_FAULTS.flatMap((fault) => (['first', 'other', 'all'] as const).map((place) => ({ fault, place })));

  it.for(rows)(
    'end with the expected codes and calls if Vault has the fault "$fault" (addresses: $place)',
    async ({ fault, place }) => {
      const outcomes = await Promise.all(REQUEST_NAMES.map((name) => cell(name, fault, place)));
      expect(outcomes).toEqual(expectedOf(fault, place));
    },
  );
});
