import { beforeEach, expect, it } from 'vitest';
import type { HealthCheck } from '../../../../src/cli/health/check.ts';
import type { KmsRegionHealth } from '../../../../src/cli/health/kms-health.ts';
import { checkSystemKeys, type SystemKeyChecks } from '../../../../src/cli/health/system-key-health.ts';
import { cryptoPolicy, KeyfoldError, type EnvelopeKeyRecord, type KeyRow } from '../../../../src/index.ts';
import { encodeKekEnvelope } from '../../../../src/kms/kek-envelope.ts';
import { KeyNaming } from '../../../../src/records/ids.ts';
import { keyRecord } from '../../../../src/testing/key-record.ts';
import { DAY_MS, errorOf, FakeDependencies, MINUTE_MS } from '../../../support/fakes.ts';

const NAMING = new KeyNaming({ service: 'svc', product: 'prod' });
const ID = NAMING.systemKeyId;
const MAINTAIN = 'keyfold maintain, and docs/runbooks/maintenance-fails.md';
let world: FakeDependencies;
let row: EnvelopeKeyRecord;

beforeEach(async () => {
  world = new FakeDependencies();
  await world.process().session('p').encrypt(Buffer.from('x'));
  row = world.metastore.ofKind('SK')[0] as EnvelopeKeyRecord;
  const startedMs = row.created * 1000;
  world.clock.nowMs = startedMs;
});

function checksOf(rows: readonly KeyRow[], changes: Partial<SystemKeyChecks> = {}): Promise<HealthCheck[]> {
  return checkSystemKeys(rows, {
    naming: NAMING,
    policy: cryptoPolicy(),
    keyRowProofs: 'verify',
    now: world.clock.now,
    kms: world.kms,
    regions: [],
    holdsRows: true,
    rowsFix: 'read the page',
    ...changes,
  });
}

/** The check with this name. */
async function checkOf(check: string, ...given: Parameters<typeof checksOf>): Promise<HealthCheck | undefined> {
  return (await checksOf(...given)).find((each) => each.check === check);
}

it('the health of System Keys is good before the first encrypt and after it', async () => {
  expect(await checksOf([], { holdsRows: false })).toEqual([
    { check: 'system keys', state: 'ok', says: `0 of ${ID}` },
    { check: 'system keys age', state: 'ok', says: 'none yet: the first encrypt makes one' },
    { check: 'system keys dates', state: 'ok', says: 'none in the future' },
    { check: 'system keys proofs', state: 'ok', says: '0 hold' },
  ]);
  expect(await checksOf([row])).toEqual([
    { check: 'system keys', state: 'ok', says: `1 of ${ID}` },
    { check: 'system keys age', state: 'ok', says: `${row.created} expires in 90.0 days` },
    { check: 'system keys dates', state: 'ok', says: 'none in the future' },
    { check: 'system keys proofs', state: 'ok', says: '1 hold' },
  ]);
});

it('the health of System Keys names unreadable rows, and warns if every row of the table has another ID', async () => {
  const unreadable = 'it cannot be parsed';
  const broken = [60, undefined].map((created) => ({ id: ID, created, unreadable }));
  expect(await checkOf('system keys', [row, ...broken])).toEqual({
    check: 'system keys',
    state: 'fault',
    says: 'unreadable rows: 60, ?',
    fix: 'read the page',
  });
  const none = { check: 'system keys age', state: 'ok', says: 'none yet: the first encrypt makes one' };
  expect(await checkOf('system keys age', broken)).toEqual(none);
  expect(await checkOf('system keys', [])).toEqual({
    check: 'system keys',
    state: 'warn',
    says: `0 of ${ID}, but the table has other rows`,
    fix:
      'if the service is not new, correct KEYFOLD_SERVICE, KEYFOLD_PRODUCT or KEYFOLD_REGION_SUFFIX; ' +
      'if rows were deleted, docs/runbooks/table-lost.md; otherwise encrypt once',
  });
});

it.for([
  [83 * DAY_MS, 'ok', 'expires in 7.0 days'],
  [83 * DAY_MS + 1, 'warn', 'expires in 7.0 days, and the maintenance has not made the next one'],
] as const)('a System Key that is %i ms old has the state "%s"', async ([ageMs, state, says]) => {
  world.clock.advance(ageMs);
  expect(await checkOf('system keys age', [row])).toEqual({
    check: 'system keys age',
    state,
    says: `${row.created} ${says}`,
    ...(state === 'warn' && { fix: MAINTAIN }),
  });
});

it('the check of the age of the System Keys uses the latest key that may seal', async () => {
  const rows = [180, 120].map((seconds) => keyRecord(ID, row.created + seconds));
  world.clock.advance(10 * MINUTE_MS);
  expect(await checkOf('system keys age', [...rows, row])).toMatchObject({
    says: `${row.created + 180} expires in 90.0 days`,
  });
});

it('the health of System Keys has a warning if no System Key may seal', async () => {
  const found = {
    check: 'system keys age',
    state: 'warn',
    says: 'no System Key may seal, so the next encrypt must wait for KMS to make one',
    fix: MAINTAIN,
  };
  expect(await checkOf('system keys age', [{ ...row, revoked: true }])).toEqual(found);
  world.clock.advance(90 * DAY_MS + 1);
  expect(await checkOf('system keys age', [row])).toEqual(found);
});

it('the health of System Keys has a fault if a row is dated in the future, and does not open that row', async () => {
  const ahead = keyRecord(ID, row.created + 3600);
  expect(await checksOf([ahead, row])).toEqual([
    { check: 'system keys', state: 'ok', says: `2 of ${ID}` },
    { check: 'system keys age', state: 'ok', says: `${row.created} expires in 90.0 days` },
    {
      check: 'system keys dates',
      state: 'fault',
      says: `dated in the future: ${ahead.created}`,
      fix: 'docs/runbooks/row-dated-ahead.md',
    },
    { check: 'system keys proofs', state: 'ok', says: '1 hold' },
  ]);
});

it('the health of System Keys has a fault if every System Key was created before minOpeningCreated', async () => {
  const policy = (seconds: number): { policy: SystemKeyChecks['policy'] } => ({
    policy: cryptoPolicy({ minOpeningCreated: row.created + seconds }),
  });
  world.clock.advance(10 * MINUTE_MS);
  const check = 'system keys dates';
  expect(await checkOf(check, [row], policy(0))).toEqual({ check, state: 'ok', says: 'none in the future' });
  expect(await checkOf(check, [], policy(1))).toEqual({ check, state: 'ok', says: 'none in the future' });
  const later = keyRecord(ID, row.created + 120);
  expect(await checkOf(check, [later, row], policy(1))).toEqual({ check, state: 'ok', says: 'none in the future' });
  expect(await checkOf(check, [row], policy(1))).toEqual({
    check,
    state: 'fault',
    says: 'all System Keys were created before KEYFOLD_MIN_OPENING_CREATED, so no record opens',
    fix: 'correct KEYFOLD_MIN_OPENING_CREATED: docs/reference/configuration.md',
  });
});

it('the health of System Keys distinguishes rows without a proof from rows with a wrong proof', async () => {
  const check = 'system keys proofs';
  const without = {
    check,
    says: `rows without a proof: ${row.created}`,
    fix: 'keyfold keys prove: docs/how-to/authenticate-key-rows.md',
  };
  const { proof, ...unproven } = row;
  expect(proof).toHaveLength(32);
  expect(await checkOf(check, [unproven])).toEqual({ ...without, state: 'warn' });
  expect(await checkOf(check, [unproven], { keyRowProofs: 'require' })).toEqual({ ...without, state: 'fault' });
  const forged = [
    { ...row, proof: Buffer.alloc(32) },
    { id: ID, created: 60, unreadable: 'x' },
  ];
  const refused = `${row.created} (its proof does not hold)`;
  const fix = 'keyfold keys prove --dry-run, and docs/runbooks/rows-corrupted.md';
  expect(await checkOf(check, forged)).toEqual({ check, state: 'fault', says: `do not hold: ${refused}`, fix });
  expect(await checkOf(check, [...forged, ...forged])).toMatchObject({ says: `do not hold: ${refused}, ${refused}` });
});

it('the proof check is skipped if the key service is unavailable or AWS KMS refuses, but reports a fault if Vault or an HSM refuses', async () => {
  const check = 'system keys proofs';
  let error: Error = new KeyfoldError('KmsUnavailable', 'Vault is sealed.');
  world.kms.unwrap = () => Promise.reject(error);
  expect(await checkOf(check, [row])).toEqual({ check, state: 'skip', says: 'Vault is sealed.' });
  error = new KeyfoldError('KmsMisconfigured', 'Vault refuses.');
  expect(await checkOf(check, [row], { regions: [regionOf()] })).toEqual({
    check,
    state: 'skip',
    says: 'Vault refuses.',
  });
  expect(await checkOf(check, [row])).toEqual({
    check,
    state: 'fault',
    says: 'a System Key does not open: Vault refuses.',
    fix: 'find the error name in docs/how-to/use-vault.md or docs/how-to/use-an-hsm.md',
  });
  error = new TypeError('a bug');
  expect(await errorOf(checksOf([row]))).toBe(error);
});

const REGION = 'us-west-2';
const KEY = 'arn:aws:kms:us-west-2:111122223333:key/1';

/** A region with the KMS key `KEY`. Adds each wrap that the region is asked to open to `asked`. */
function regionOf(changes: Partial<KmsRegionHealth> = {}, fault?: string, asked: unknown[] = []): KmsRegionHealth {
  const tryDecrypt = async (wrapped: Uint8Array, keyId: string | undefined): Promise<object> => {
    asked.push([Buffer.from(wrapped).toString(), keyId]);
    return fault === undefined ? { answer: undefined, latencyMs: 1 } : { fault: { name: fault } };
  };
  const inspector = { region: REGION, tryDecrypt } as unknown as KmsRegionHealth['inspector'];
  return { inspector, checks: [], keyArn: KEY, decrypts: true, ...changes };
}

/** A row with one wrap in each of these regions. */
const wrappedBy = (arn: string, region = REGION, created = 60): EnvelopeKeyRecord =>
  keyRecord(ID, created, {
    encryptedKey: encodeKekEnvelope({
      encryptedKey: Buffer.from('key'),
      kmsKeks: [{ region, arn, encryptedKek: Buffer.from(`wrap ${created}`) }],
    }),
  });

it('the check of the wraps in a region is good if the configured key opens every wrap', async () => {
  const check = `system keys wraps ${REGION}`;
  const asked: unknown[] = [];
  const rows = [wrappedBy(KEY), wrappedBy(KEY, REGION, 120)];
  expect(await checkOf(check, rows, { regions: [regionOf({}, undefined, asked)] })).toEqual({
    check,
    state: 'ok',
    says: '2 by the configured key, all open',
  });
  expect(asked).toEqual([
    ['wrap 60', KEY],
    ['wrap 120', KEY],
  ]);
  // Without the description of the configured key, nothing is known about the key of a wrap.
  const unknown = regionOf({ keyArn: undefined });
  const alias = wrappedBy('arn:aws:kms:us-west-2:111122223333:alias/a');
  expect(await checkOf(check, [alias], { regions: [unknown] })).toMatchObject({ state: 'ok' });
  // Asherah may store a name that is not an ARN. Then KMS finds the key by the wrap.
  const named: unknown[] = [];
  const answers = regionOf({ keyArn: undefined }, undefined, named);
  expect(await checkOf(check, [wrappedBy('alias/asherah')], { regions: [answers] })).toMatchObject({ state: 'ok' });
  expect(named).toEqual([['wrap 60', undefined]]);
});

it('the check of the wraps in a region reports wraps that are missing, do not open or were made by another KMS key', async () => {
  const check = `system keys wraps ${REGION}`;
  const found = (region: KmsRegionHealth, ...rows: KeyRow[]): Promise<HealthCheck | undefined> =>
    checkOf(check, rows, { regions: [region] });
  expect(await found(regionOf({ decrypts: false }))).toEqual({ check, state: 'ok', says: 'none yet' });
  expect(await found(regionOf(), wrappedBy(KEY, 'us-east-1'), wrappedBy(KEY, REGION, 120))).toEqual({
    check,
    state: 'fault',
    says: `no wrap by ${REGION}: 60`,
    fix: MAINTAIN,
  });
  expect(await found(regionOf({ decrypts: false }), wrappedBy(KEY))).toEqual({
    check,
    state: 'skip',
    says: `the check kms ${REGION} calls has failed`,
  });
  expect(await found(regionOf({}, 'DisabledException'), wrappedBy(KEY))).toEqual({
    check,
    state: 'fault',
    says: 'the wrap of 60 does not open: DisabledException',
    fix: `${MAINTAIN}; until then, keep every KMS key of the other regions`,
  });
  const asked: unknown[] = [];
  const alias = 'arn:aws:kms:us-west-2:111122223333:alias/old';
  expect(await found(regionOf({}, undefined, asked), wrappedBy(alias), wrappedBy(KEY, REGION, 120))).toEqual({
    check,
    state: 'warn',
    says: 'by another KMS key than the configured one: 60',
    fix: 'keyfold maintain, before you disable the other key: docs/how-to/replace-a-kms-key.md',
  });
  expect(asked).toEqual([
    ['wrap 60', undefined],
    ['wrap 120', KEY],
  ]);
});
