/** What each function runs on, from the environment's settings. */
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { buildApi, buildInvoke, buildMaintenance, buildQueue } from '../../../src/container.ts';
import { codeOf } from '../../support/fakes.ts';

const WEST = 'arn:aws:kms:us-west-2:111122223333:alias/keyfold';
const EAST = 'arn:aws:kms:us-east-1:111122223333:alias/keyfold';
/** Where nobody listens. */
const NOWHERE = 'http://127.0.0.1:9';

function set(settings: Record<string, string>): void {
  for (const [name, value] of Object.entries(settings)) vi.stubEnv(name, value);
}

beforeEach(() => {
  set({
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    AWS_REGION: 'us-east-1',
    KEYFOLD_SERVICE: 'service',
    KEYFOLD_PRODUCT: 'product',
    KEYFOLD_AUTH: 'none',
    KEYFOLD_DYNAMODB_ENDPOINT: NOWHERE,
  });
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const withKms = (): void => set({ KEYFOLD_KMS_KEYS: JSON.stringify({ 'us-west-2': WEST, 'us-east-1': EAST }) });
const withStaticKey = (): void => set({ KEYFOLD_STATIC_MASTER_KEY_HEX: '00'.repeat(32) });

describe('a function', () => {
  it('tells the health of each KMS region, its own first, and of the table, of which nothing is known yet', async () => {
    withKms();
    const { health } = await buildApi();
    expect(health()).toEqual({
      kms: [
        { region: 'us-east-1', state: 'unknown' },
        { region: 'us-west-2', state: 'unknown' },
      ],
      metastore: { state: 'unknown' },
    });
  });

  it('starts though the System Key cannot be loaded before its first request', async () => {
    withStaticKey();
    set({ KEYFOLD_PRELOAD_SYSTEM_KEY: 'true' });
    const { health, keyfold } = await buildApi();
    expect(health()).toMatchObject({ kms: [], metastore: { state: 'unavailable' } });
    expect(await codeOf(keyfold.session('p').encrypt(Buffer.from('x')))).toBe('MetastoreUnavailable');
  });

  it('for direct invocation must be told which operations it serves', async () => {
    withStaticKey();
    expect(() => buildInvoke()).toThrow('KEYFOLD_OPERATIONS');
    set({ KEYFOLD_OPERATIONS: 'encrypt' });
    expect((await buildInvoke()).config.serves.operations).toEqual(['encrypt']);
  });

  it('for a queue must be told where to send', async () => {
    withStaticKey();
    await expect(buildQueue()).rejects.toThrow('KEYFOLD_OUTPUT_QUEUE_URL');
  });

  it('for maintenance needs KMS: a static master key has no wraps', () => {
    withStaticKey();
    expect(() => buildMaintenance()).toThrow('a static master key has no wraps to maintain');
  });

  it('for maintenance ends before its invocation does, by the margin that is set', () => {
    withKms();
    set({ KEYFOLD_DEADLINE_MARGIN_MS: '1234' });
    expect(buildMaintenance().deadlineMarginMs).toBe(1234);
  });
});
