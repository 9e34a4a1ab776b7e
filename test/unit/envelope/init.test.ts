import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { expect, it } from 'vitest';

/** Counts how often random bytes are drawn before the handler has been imported, and before the first response. */
const SCRIPT = `
import crypto from 'node:crypto';
import { syncBuiltinESMExports } from 'node:module';
let draws = 0;
const { randomFillSync } = crypto;
crypto.randomFillSync = (...args) => { draws += 1; return randomFillSync(...args); };
syncBuiltinESMExports();
const { encodeDataRowRecord, MemoryMetastore, SessionFactory, StaticKms } = await import('./src/index.ts');
await import('./handlers/api.ts');
const before = draws;
const keyfold = new SessionFactory({ service: 's', product: 'p', metastore: new MemoryMetastore(), kms: new StaticKms(Buffer.alloc(32), {}) });
await keyfold.session('a').encrypt(Buffer.from('x'));
console.log(JSON.stringify({ before, after: draws }));
`;

it('a process draws no random bytes before its first request, so copies of its snapshot share no nonce', () => {
  const output = execFileSync(process.execPath, ['--input-type=module', '-e', SCRIPT], {
    cwd: join(import.meta.dirname, '..', '..', '..'),
    encoding: 'utf8',
    env: {
      AWS_REGION: 'us-west-2',
      KEYFOLD_SERVICE: 's',
      KEYFOLD_PRODUCT: 'p',
      KEYFOLD_KMS_KEYS: '{"us-west-2":"arn:aws:kms:us-west-2:111122223333:alias/keyfold"}',
    },
  });
  expect(JSON.parse(output)).toEqual({ before: 0, after: 1 });
});
