import { defineConfig } from 'vitest/config';

/** For tests that wait for real processes, servers and timeouts: one file at a time. */
const SLOW = { testTimeout: 300_000, hookTimeout: 120_000, fileParallelism: false };

export default defineConfig({
  test: {
    pool: 'threads',
    setupFiles: ['test/support/aws-environment.ts'],
    testTimeout: 20_000,
    // Many tests wait for a fault to pass. With more files at once than cores, two cores stay busy.
    maxWorkers: 4,
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'] } },
      { extends: true, test: { name: 'integration', include: ['test/integration/**/*.test.ts'] } },
      { extends: true, test: { name: 'system', include: ['test/system/**/*.test.ts'], ...SLOW } },
      {
        extends: true,
        test: {
          name: 'long',
          include: ['test/long/**/*.test.ts'],
          globalSetup: ['test/peers/setup.ts'],
          ...SLOW,
          testTimeout: 1_800_000,
        },
      },
      {
        extends: true,
        test: { name: 'peers', include: ['test/peers/**/*.test.ts'], globalSetup: ['test/peers/setup.ts'], ...SLOW },
      },
    ],
  },
});
