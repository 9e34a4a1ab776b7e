/** Tests VaultKms over TLS. OpenSSL makes the certificate. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Attempt } from '../../src/index.ts';
import { VaultKms } from '../../src/kms/vault/index.ts';
import { errorOf, noDeadline } from '../support/fakes.ts';
import { StubVault } from '../support/stub-vault.ts';
import { startTlsFront, type Certificate } from '../support/tls-front.ts';

const KEY = Buffer.alloc(32, 9);
const folder = mkdtempSync(join(tmpdir(), 'keyfold-vault-tls-'));
const attempts: Attempt[] = [];
let certificate: Certificate;

beforeAll(() => {
  const [key, cert] = ['key.pem', 'cert.pem'].map((name) => join(folder, name)) as [string, string];
  const subject = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=vault';
  const args = [...subject.split(' '), '-addext', 'subjectAltName=IP:127.0.0.1', '-keyout', key, '-out', cert];
  execFileSync('openssl', args, { stdio: 'ignore' });
  certificate = { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
});
afterAll(() => rmSync(folder, { recursive: true }));

it('VaultKms trusts the private certificate authority in its options, and refuses the connection without that option', async () => {
  const stub = await StubVault.start();
  const front = await startTlsFront(Number(new URL(stub.url).port), certificate);
  const options = {
    addresses: [`https://127.0.0.1:${front.port}`],
    transitKey: 'keyfold',
    auth: { method: 'token', token: 'fixed' },
    failover: { maxRounds: 1 },
    events: { attempted: (attempt: Attempt) => void attempts.push(attempt) },
  } as const;
  const trusting = new VaultKms({ ...options, ca: certificate.cert });
  expect(await trusting.unwrap(await trusting.wrap(KEY, noDeadline()), noDeadline())).toEqual({ key: KEY });
  const requests = stub.requests.length;
  const error = await errorOf(new VaultKms(options).wrap(KEY, noDeadline()));
  expect(error).toMatchObject({ code: 'KmsUnavailable' });
  expect(attempts.at(-1)?.fault?.errorName).toBe('DEPTH_ZERO_SELF_SIGNED_CERT');
  expect(stub.requests).toHaveLength(requests);
  await front.stop();
  await stub.stop();
});
