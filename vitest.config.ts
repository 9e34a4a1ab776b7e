import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { defineConfig } from 'vitest/config';

/** For tests that wait for real processes, servers and timeouts: one file at a time. */
const SLOW = { testTimeout: 300_000, hookTimeout: 120_000, fileParallelism: false };

/**
 * Matches a test file that changes or watches something that all files of one process share: a module, a built-in
 * object, compiled code, or the names that `JSON.parse` has read.
 */
const REPLACES =
  /\bvi\.(?:mock|doMock|hoisted)\(|\bspyOn\((?:(?:ArrayBuffer|Buffer|Socket|Worker)\.prototype|dns|globalThis|process)\b|\bholdConnections\(|\bpoison\(|\bWorkMeter\.start\(/;
/**
 * The files of unit and integration tests that need a process of their own. All other files share their processes,
 * which saves more than a third of the time.
 */
const ALONE = globSync('test/{unit,integration}/**/*.test.ts').filter((file) =>
  REPLACES.test(readFileSync(file, 'utf8')),
);
const SHARED = { exclude: ALONE, isolate: false };

// Node keeps the code that it compiles in this folder, which all processes and threads of the tests share. A program
// that imports TypeScript then starts in less than half the time.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, 'node_modules', '.cache', 'node');

export default defineConfig({
  test: {
    // With threads, V8 can crash while one of them compiles WebAssembly (https://github.com/nodejs/node/issues/64500).
    pool: 'forks',
    setupFiles: ['test/support/aws-environment.ts'],
    // A missing text fails its test. The option -u writes it.
    update: 'none',
    // Long enough for a machine that does other work. A test that hangs still ends.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    // Many tests wait for a fault to pass. With more files at once than cores, two cores stay busy.
    maxWorkers: 4,
    projects: [
      { extends: true, test: { name: 'unit', include: ['test/unit/**/*.test.ts'], ...SHARED } },
      { extends: true, test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...SHARED } },
      { extends: true, test: { name: 'alone', include: ALONE } },
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
