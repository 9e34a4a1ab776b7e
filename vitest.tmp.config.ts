import { defineConfig } from 'vitest/config';
export default defineConfig({ test: { setupFiles: ['test/support/aws-environment.ts'], testTimeout: 120000, hookTimeout: 600000, include: ['test/peers/package.test.ts'] } });
