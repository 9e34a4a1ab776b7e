import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/peers/**'],
    setupFiles: ['test/support/aws-environment.ts'],
    testTimeout: 20_000,
  },
});
