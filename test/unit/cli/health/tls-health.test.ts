import { expect, it } from 'vitest';
import { checkTls } from '../../../../src/cli/health/tls-health.ts';

const unencrypted = (name: string): object => ({
  check: 'tls',
  state: 'fault',
  says: `${name} begins with http:, so the network can read the keys`,
  fix: `begin ${name} with https:`,
});
const UNCHECKED = {
  check: 'tls',
  state: 'fault',
  says: 'NODE_TLS_REJECT_UNAUTHORIZED=0: any server can pass for KMS, for Vault and for the table',
  fix: "unset it; if a server has a certificate of your own authority, set NODE_EXTRA_CA_CERTS to that authority's file",
};

it('checkTls finds every variable that lets another machine read or answer calls', () => {
  const AWS_ENDPOINT_URL = 'http://kms.example';
  expect(checkTls({ AWS_ENDPOINT_URL })).toEqual([unencrypted('AWS_ENDPOINT_URL')]);
  expect(
    checkTls({ AWS_ENDPOINT_URL, AWS_ENDPOINT_URL_KMS: 'http://192.0.2.1:80', NODE_TLS_REJECT_UNAUTHORIZED: '0' }),
  ).toEqual([UNCHECKED, unencrypted('AWS_ENDPOINT_URL_KMS'), unencrypted('AWS_ENDPOINT_URL')]);
});

it.for(['https://kms.example', 'http://127.0.0.1:8080', 'http://localhost', 'not a URL', ''])(
  'checkTls finds nothing at the endpoint "%s" if certificates are checked',
  (endpoint) => {
    const environment = { AWS_ENDPOINT_URL: endpoint, AWS_ENDPOINT_URL_KMS: endpoint };
    for (const NODE_TLS_REJECT_UNAUTHORIZED of ['1', '']) {
      expect(checkTls({ ...environment, NODE_TLS_REJECT_UNAUTHORIZED })).toEqual([]);
    }
  },
);
