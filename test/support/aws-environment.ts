/** Gives every test file the same environment, in which the AWS SDK finds no real credentials. */
import { afterAll, vi } from 'vitest';

process.env['AWS_ACCESS_KEY_ID'] = 'local';
process.env['AWS_SECRET_ACCESS_KEY'] = 'local';
process.env['AWS_REGION'] = 'us-west-2';
process.env['AWS_EC2_METADATA_DISABLED'] = 'true';
const environment = { ...process.env };

// The next test file may run in the same process, so restore the environment, the clock and everything that was mocked.
afterAll(() => {
  vi.useRealTimers();
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
  vi.unstubAllGlobals();
  for (const name of Object.keys(process.env)) if (!Object.hasOwn(environment, name)) delete process.env[name];
  Object.assign(process.env, environment);
});
