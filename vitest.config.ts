import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // What takes longest is for `npm run test:peers`.
    exclude: ['test/peers/**', 'test/kill/**', 'test/runbooks/**'],
    pool: 'threads',
    setupFiles: ['test/support/aws-environment.ts'],
    testTimeout: 20_000,
    // Much of what is tested waits for a fault to pass: more files at once than cores keep two of them busy.
    maxWorkers: 4,
  },
});
