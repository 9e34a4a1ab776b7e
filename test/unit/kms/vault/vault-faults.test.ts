import { expect, it } from 'vitest';
import type { FaultClass, KmsAction } from '../../../../src/kms/region-fault.ts';
import { faultOf } from '../../../../src/kms/vault/vault-faults.ts';

/** Returns the fault that Keyfold makes from a Vault response, as text: the fault's class, then its name. */
function faultText(request: KmsAction | 'login', status: number, errors: unknown): string {
  const action = request === 'login' ? 'Encrypt' : request;
  const step = request === 'login' ? 'login' : 'transit';
  const fault = faultOf('vault.example', action, step, { status, body: { errors } });
  expect(fault).toMatchObject({ region: 'vault.example', action });
  return `${fault.faultClass} ${fault.errorName}`;
}

const STS = 'error making upstream request: ';

it.for<[FaultClass, string, KmsAction | 'login', number, string]>([
  ['throttled', 'RateLimited', 'Encrypt', 429, 'request path rate limit quota exceeded'],
  ['unavailable', 'Sealed', 'Decrypt', 503, 'Vault is sealed'],
  ['unavailable', 'HttpStatus500', 'Decrypt', 500, 'Vault is sealed'],
  ['unavailable', 'HttpStatus503', 'Decrypt', 503, ''],
  ['unavailable', 'IncompleteAnswer', 'Encrypt', 299, ''],
  ['unavailable', 'Standby', 'Encrypt', 300, ''],
  ['unavailable', 'Standby', 'Encrypt', 399, ''],
  ['misconfigured', 'HttpStatus400', 'Encrypt', 400, ''],
  ['unavailable', 'Standby', 'Encrypt', 472, ''],
  ['unavailable', 'Standby', 'Encrypt', 473, ''],
  ['unavailable', 'Standby', 'Encrypt', 500, 'local node not active but active cluster node not found'],
  ['unavailable', 'Standby', 'Encrypt', 500, 'Vault is in standby mode'],
  ['misconfigured', 'HttpStatus499', 'Encrypt', 499, 'Vault is in standby mode'],
  ['unavailable', 'HttpStatus408', 'Encrypt', 408, ''],
  ['unavailable', 'HttpStatus412', 'Encrypt', 412, 'required index state not present'],
  ['unavailable', 'HttpStatus425', 'Encrypt', 425, ''],
  ['misconfigured', 'PermissionDenied', 'Decrypt', 401, ''],
  ['misconfigured', 'PermissionDenied', 'Decrypt', 403, 'permission denied'],
  ['misconfigured', 'NotFound', 'Decrypt', 404, ''],
  ['misconfigured', 'KeyNotFound', 'Decrypt', 400, 'encryption key not found'],
  ['misconfigured', 'KeyVersionRefused', 'Decrypt', 400, 'ciphertext or signature version is disallowed by policy'],
  ['misconfigured', 'KeyVersionRefused', 'Decrypt', 400, 'invalid ciphertext: version is too new'],
  ['corrupt', 'InvalidCiphertext', 'Decrypt', 400, 'invalid ciphertext: no prefix'],
  ['corrupt', 'InvalidCiphertext', 'Decrypt', 400, 'cipher: message authentication failed'],
  ['corrupt', 'InvalidCiphertext', 'Decrypt', 400, 'unable to decrypt'],
  ['corrupt', 'InvalidCiphertext', 'Decrypt', 400, 'could not decode base64'],
  ['misconfigured', 'HttpStatus400', 'Decrypt', 400, 'another error'],
  ['misconfigured', 'HttpStatus405', 'Decrypt', 405, 'invalid ciphertext'],
  ['misconfigured', 'HttpStatus400', 'Encrypt', 400, 'could not decode base64'],
  ['misconfigured', 'LoginRefused', 'login', 403, 'permission denied'],
  ['misconfigured', 'LoginRefused', 'login', 400, `${STS}received error code 499 from STS`],
  ['unavailable', 'StsUnavailable', 'login', 400, `${STS}received error code 429 from STS`],
  ['unavailable', 'StsUnavailable', 'login', 400, `${STS}received error code 500 from STS`],
  ['unavailable', 'StsUnavailable', 'login', 400, 'received error code 400 from STS: <Code>Throttling</Code>'],
  ['unavailable', 'StsUnavailable', 'login', 400, 'error making request: dial tcp: timeout'],
  ['unavailable', 'StsRefused', 'login', 400, 'received error code 403 from STS: <Code>ExpiredToken</Code>'],
  ['misconfigured', 'LoginRefused', 'login', 400, 'received error code 403 from STS: <Code>AccessDenied</Code>'],
])(
  'Vault counts as %s (%s) if Vault responds to %s with the status %i and "%s"',
  ([faultClass, name, request, status, text]) => {
    expect(faultText(request, status, [text])).toBe(`${faultClass} ${name}`);
    expect(faultText(request, status, [7, null, text])).toBe(`${faultClass} ${name}`);
  },
);

it.for<[FaultClass, string, KmsAction | 'login', number, string]>([
  ['unavailable', 'Sealed', 'Decrypt', 503, 'Vault is sealed'],
  ['unavailable', 'Standby', 'Encrypt', 500, 'not active'],
  ['misconfigured', 'KeyNotFound', 'Decrypt', 400, 'encryption key not found'],
  ['misconfigured', 'KeyVersionRefused', 'Decrypt', 400, 'version is too new'],
  ['corrupt', 'InvalidCiphertext', 'Decrypt', 400, 'invalid ciphertext'],
  ['unavailable', 'StsUnavailable', 'login', 400, 'received error code 500 from STS'],
  ['unavailable', 'StsUnavailable', 'login', 400, 'error making request'],
])(
  'Vault counts as %s (%s) if Vault responds to %s with the status %i and "%s" in capital letters',
  ([faultClass, name, request, status, text]) => {
    expect(faultText(request, status, [text.toUpperCase()])).toBe(`${faultClass} ${name}`);
  },
);

it.for([
  ['a string', 'sealed'],
  ['an object', { 0: 'sealed' }],
  ['absent'],
  ['an object in a list', [{ a: 'sealed' }]],
])('the errors in a response of Vault are ignored if they are %s', ([, errors]) => {
  expect(faultText('Encrypt', 503, errors)).toBe('unavailable HttpStatus503');
});
