import { expect, it } from 'vitest';
import type { HealthCheck } from '../../../../src/cli/health/check.ts';
import { checkKmsRegion, type KmsRegionHealth } from '../../../../src/cli/health/kms-health.ts';
import { DAY_MS } from '../../../support/fakes.ts';
import type { KmsInspector, KmsKeyDescription, QuotaInspector } from '../../../../src/maintenance/inspection.ts';

const ARN = 'arn:aws:kms:us-west-2:111122223333:key/1';
const NOW = Date.parse('2026-01-01T00:00:00Z');
const ENABLED: KmsKeyDescription = {
  arn: ARN,
  state: 'Enabled',
  deletedAtMs: undefined,
  materialEndsAtMs: undefined,
  encrypts: true,
  origin: 'AWS_KMS',
};
const MATERIAL = 'docs/runbooks/kms-material-expired.md';
const ENABLE = `aws kms enable-key --region us-west-2 --key-id ${ARN}, and docs/runbooks/kms-key-disabled.md`;
const CANCEL =
  `aws kms cancel-key-deletion --region us-west-2 --key-id ${ARN}, ` +
  'then enable-key: docs/runbooks/kms-key-deletion.md';

const answered = <T>(answer: T, latencyMs = 1): { answer: T; latencyMs: number } => ({ answer, latencyMs });
const failed = (name: string): { fault: { name: string } } => ({ fault: { name } });

async function openQuotas(region: string): Promise<QuotaInspector> {
  return { quota: async () => failed(`quota of ${region}`) } as unknown as QuotaInspector;
}

/** The health of a region. `rotation` is the outcome for a key with the expected ARN. */
function healthOf(
  attempts: object,
  described: object = answered(ENABLED),
  rotation: object = answered(365),
): Promise<KmsRegionHealth> {
  const inspector = {
    region: 'us-west-2',
    keyArn: ARN,
    tryActions: async () => attempts,
    describe: async () => described,
    rotation: async (arn: string) => (arn.startsWith(ARN) ? rotation : failed('WrongKey')),
  } as unknown as KmsInspector;
  return checkKmsRegion(inspector, openQuotas, NOW);
}

async function checkOf(what: string, ...given: Parameters<typeof healthOf>): Promise<HealthCheck | undefined> {
  return (await healthOf(...given)).checks.find(({ check }) => check === `kms us-west-2 ${what}`);
}

it('the health of a KMS region shows the latency of each call, the key, its rotation and the quota', async () => {
  const attempts = { GenerateDataKey: answered(undefined, 2.1), Decrypt: answered(undefined, 999.5) };
  const { inspector, ...health } = await healthOf(attempts);
  expect(inspector.region).toBe('us-west-2');
  expect(health).toEqual({
    checks: [
      { check: 'kms us-west-2 calls', state: 'ok', says: 'GenerateDataKey 3 ms, Decrypt 1000 ms' },
      { check: 'kms us-west-2 key', state: 'ok', says: `${ARN}: enabled` },
      { check: 'kms us-west-2 rotation', state: 'ok', says: 'every 365 days' },
      {
        check: 'kms us-west-2 quota',
        state: 'skip',
        says: 'could not look: servicequotas:GetServiceQuota failed: quota of us-west-2',
      },
    ],
    keyArn: ARN,
    decrypts: true,
  });
});

it('the health of a KMS region has keyArn: undefined and decrypts: false if DescribeKey fails and no Decrypt succeeds', async () => {
  for (const attempts of [{ Decrypt: failed('x') }, { Encrypt: answered(undefined) }]) {
    expect(await healthOf(attempts, failed('x'))).toMatchObject({ keyArn: undefined, decrypts: false });
  }
});

it.for([
  [999, 'ok'],
  [1000, 'warn'],
  [1999, 'warn'],
  [2000, 'fault'],
] as const)('a call to KMS that takes %i ms gives the check the state "%s"', async ([latencyMs, state]) => {
  const attempts = { Encrypt: answered(undefined, 1), Decrypt: answered(undefined, latencyMs) };
  const fix = 'check the route to KMS in us-west-2: Keyfold gives up on a call after 2000 ms';
  expect(await checkOf('calls', attempts)).toEqual({
    check: 'kms us-west-2 calls',
    state,
    says: `Encrypt 1 ms, Decrypt ${latencyMs} ms`,
    ...(state !== 'ok' && { fix }),
  });
});

it.for([
  ['NotFoundException', 'create the key and its alias in us-west-2, or correct us-west-2 in KEYFOLD_KMS_KEYS'],
  ['DisabledException', ENABLE],
  [
    'KMSInvalidStateException',
    `aws kms describe-key --region us-west-2 --key-id ${ARN}, then the runbook for its state: docs/runbooks/README.md`,
  ],
  ['InvalidKeyUsageException', 'docs/how-to/troubleshoot.md#kmsmisconfigured'],
  ['AccessDeniedException', "allow kms:ACTION in the role's policy and in the policy of the key or table"],
] as const)('a call to KMS that fails with %s is a fault, with the fix for that error', async ([name, fix]) => {
  const health = await healthOf({ Encrypt: answered(undefined), Decrypt: failed(name) }, failed(name));
  const [calls, key, rotation] = health.checks;
  expect(calls).toEqual({
    check: 'kms us-west-2 calls',
    state: 'fault',
    says: `kms:Decrypt failed: ${name}`,
    fix: fix.replace('ACTION', 'Decrypt'),
  });
  expect(key).toEqual({
    check: 'kms us-west-2 key',
    state: name === 'AccessDeniedException' ? 'warn' : 'fault',
    says: `kms:DescribeKey failed: ${name}`,
    fix: fix.replace('ACTION', 'DescribeKey'),
  });
  expect(rotation).toEqual({ check: 'kms us-west-2 rotation', state: 'skip', says: 'the key is unknown' });
});

it('if a KMS region does not answer, each check tells the operator to check the route to that region', async () => {
  const silent = failed('TimeoutError');
  const fix = 'check the route to KMS in us-west-2, and the endpoint in the settings';
  const silences: readonly (readonly [string, string, Parameters<typeof healthOf>])[] = [
    ['calls', 'kms:Decrypt', [{ Decrypt: silent }]],
    ['key', 'kms:DescribeKey', [{}, silent]],
    ['rotation', 'kms:GetKeyRotationStatus', [{}, answered(ENABLED), silent]],
  ];
  for (const [what, action, given] of silences) {
    expect(await checkOf(what, ...given)).toEqual({
      check: `kms us-west-2 ${what}`,
      state: 'fault',
      says: `${action} failed: TimeoutError`,
      fix,
    });
  }
});

it.for<[string, Partial<KmsKeyDescription>, HealthCheck['state'], string, string?]>([
  ['disabled', { state: 'Disabled' }, 'fault', `${ARN}: disabled`, ENABLE],
  [
    'unavailable',
    { state: 'Unavailable' },
    'fault',
    `${ARN}: in the state Unavailable`,
    'docs/how-to/use-imported-material-or-key-stores.md',
  ],
  ['without its material', { state: 'PendingImport' }, 'fault', `${ARN}: in the state PendingImport`, MATERIAL],
  ['being made', { state: 'Creating' }, 'fault', `${ARN}: in the state Creating`, 'docs/runbooks/kms-key-disabled.md'],
  [
    'whose material expires in less than 30 days',
    { origin: 'EXTERNAL', materialEndsAtMs: NOW + 30 * DAY_MS - 1 },
    'warn',
    `${ARN}: its material expires on 2026-01-30T23:59:59.999Z`,
    `import the same material again: ${MATERIAL}`,
  ],
  [
    'whose material expires in 30 days',
    { origin: 'EXTERNAL', materialEndsAtMs: NOW + 30 * DAY_MS },
    'ok',
    `${ARN}: enabled`,
  ],
  [
    'asymmetric',
    { encrypts: false },
    'fault',
    `${ARN}: it is not a symmetric key that encrypts`,
    'name another key in KEYFOLD_KMS_KEYS',
  ],
  [
    'waiting for its deletion',
    { state: 'PendingDeletion', deletedAtMs: 0 },
    'fault',
    `${ARN}: KMS deletes it on 1970-01-01T00:00:00.000Z`,
    CANCEL,
  ],
  ['waiting for its deletion without a date', { state: 'PendingDeletion' }, 'fault', `${ARN}: KMS deletes it`, CANCEL],
  ['enabled, under another ARN', { arn: `${ARN}2` }, 'ok', `key/1 is ${ARN}2: enabled`],
])("the check of a KMS key reports the key's state (%s)", async ([, change, state, says, fix]) => {
  expect(await checkOf('key', {}, answered({ ...ENABLED, ...change }))).toEqual({
    check: 'kms us-west-2 key',
    state,
    says,
    ...(fix !== undefined && { fix }),
  });
});

it.for<[string, Partial<KmsKeyDescription>, object, Omit<HealthCheck, 'check'>]>([
  [
    'with the origin EXTERNAL',
    { origin: 'EXTERNAL', state: 'Disabled' },
    failed('x'),
    { state: 'ok', says: 'KMS does not rotate keys of the origin EXTERNAL' },
  ],
  ['that is disabled', { state: 'Disabled' }, failed('x'), { state: 'skip', says: 'the key is in the state Disabled' }],
  [
    'that KMS does not rotate',
    { arn: `${ARN}2` },
    answered(undefined),
    {
      state: 'warn',
      says: 'KMS does not rotate the key',
      fix: `aws kms enable-key-rotation --region us-west-2 --key-id ${ARN}2`,
    },
  ],
  [
    'whose rotation status the role may not read',
    {},
    failed('AccessDeniedException'),
    {
      state: 'warn',
      says: 'kms:GetKeyRotationStatus failed: AccessDeniedException',
      fix: "allow kms:GetKeyRotationStatus in the role's policy and in the policy of the key or table",
    },
  ],
  [
    'whose rotation status the endpoint cannot return',
    {},
    failed('UnknownOperationException'),
    { state: 'skip', says: 'the endpoint does not have kms:GetKeyRotationStatus' },
  ],
  [
    'whose rotation status KMS does not return',
    {},
    failed('UnsupportedOperationException'),
    {
      state: 'warn',
      says: 'kms:GetKeyRotationStatus failed: UnsupportedOperationException',
      fix: 'docs/how-to/troubleshoot.md#kmsmisconfigured',
    },
  ],
])('the rotation check says what it finds for a KMS key %s', async ([, change, rotation, found]) => {
  const description = answered({ ...ENABLED, ...change });
  expect(await checkOf('rotation', {}, description, rotation)).toEqual({ check: 'kms us-west-2 rotation', ...found });
});
