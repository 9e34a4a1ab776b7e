import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/peers/**/*.test.ts', 'test/kill/**/*.test.ts', 'test/runbooks/**/*.test.ts'],
    globalSetup: ['test/peers/setup.ts'],
    setupFiles: ['test/support/aws-environment.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
});
