import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';

const SCRIPT = join(import.meta.dirname, '..', '..', '..', 'scripts', 'path.ts');

let warm = '';
let cold = '';

beforeAll(async () => {
  const { stdout } = await promisify(execFile)(process.execPath, [SCRIPT]);
  [warm = '', cold = ''] = stdout.split(/(?=^A cold decrypt runs )/m);
});

it('an encrypt in a warm process runs code of the HTTP API, the operation and the session, but not of KMS or the metastore', () => {
  for (const file of ['doors/http.ts', 'operations/encrypt.ts', 'envelope/session.ts']) expect(warm).toContain(file);
  expect(warm).not.toMatch(/src\/(?:kms|metastore|connections|maintenance)\//);
});

it('a decrypt in a cold process also runs the modules for keys, KMS and the metastore, but none for faults, new keys or maintenance', () => {
  for (const file of ['envelope/system-keys.ts', 'kms/regional-kms.ts', 'metastore/dynamodb-metastore.ts']) {
    expect(cold).toContain(file);
  }
  // A cold decrypt runs none of these modules, because the region is healthy and no key is made.
  expect(cold).not.toMatch(/src\/(?:kms\/faults|envelope\/create-key|maintenance\/.*)\.ts/);
});
