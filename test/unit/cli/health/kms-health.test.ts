import { expect, it } from 'vitest';
import { checkKmsRegion } from '../../../../src/cli/health/kms-health.ts';
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

it.for([
  ['enabled', {}, 'ok', `${ARN}: enabled`],
  ['disabled', { state: 'Disabled' }, 'fault', `${ARN}: disabled`],
  [
    'unavailable',
    { state: 'Unavailable' },
    'fault',
    `${ARN}: in the state Unavailable`,
    'use-imported-material-or-key',
  ],
  [
    'without its material',
    { state: 'PendingImport' },
    'fault',
    'PendingImport',
    'docs/runbooks/kms-material-expired.md',
  ],
  [
    'whose material expires soon',
    { origin: 'EXTERNAL', materialEndsAtMs: NOW + 29 * DAY_MS },
    'warn',
    'its material expires on 2026-01-30',
    'docs/runbooks/kms-material-expired.md',
  ],
  ['whose material expires later', { origin: 'EXTERNAL', materialEndsAtMs: NOW + 31 * DAY_MS }, 'ok', 'enabled'],
  ['asymmetric', { encrypts: false }, 'fault', `${ARN}: it is not a symmetric key that encrypts`],
  [
    'waiting for its deletion',
    { state: 'PendingDeletion', deletedAtMs: 0 },
    'fault',
    'KMS deletes it on 1970-01-01T00:00:00.000Z',
  ],
  ['enabled, under another ARN', { arn: `${ARN}2` }, 'ok', `1 is ${ARN}2: enabled`],
] as const)("the check of a KMS key reports the key's state (%s)", async ([, change, state, says, fix]) => {
  const inspector = {
    region: 'us-west-2',
    keyArn: ARN,
    tryActions: async () => ({}),
    describe: async () => ({ answer: { ...ENABLED, ...change }, latencyMs: 1 }),
    rotation: async () => ({ answer: 365, latencyMs: 1 }),
  } as unknown as KmsInspector;
  const unknown = { fault: { name: 'AccessDeniedException' } };
  const quotas = { quota: async () => unknown } as unknown as QuotaInspector;
  const { checks } = await checkKmsRegion(inspector, async () => quotas, NOW);
  const found = checks.find(({ check }) => check === 'kms us-west-2 key');
  expect(found).toMatchObject({ state, says: expect.stringContaining(says) as string });
  expect(found?.fix ?? '').toContain(fix ?? '');
});
