import { expect, it } from 'vitest';
import { isPerhapsCorrupt, TokenError, tokenFaultOf } from '../../../../src/kms/pkcs11/pkcs11-faults.ts';

it.for([
  ['throttled', ['SESSION_COUNT', 'DEVICE_MEMORY']],
  [
    'misconfigured',
    [
      'PIN_EXPIRED',
      'USER_PIN_NOT_INITIALIZED',
      'USER_TYPE_INVALID',
      'USER_TOO_MANY_TYPES',
      'USER_ANOTHER_ALREADY_LOGGED_IN',
      'MECHANISM_INVALID',
      'TEMPLATE_INCOMPLETE',
      'KEY_SIZE_RANGE',
      'ATTRIBUTE_SENSITIVE',
      'WRAPPING_KEY_SIZE_RANGE',
      'UNWRAPPING_KEY_SIZE_RANGE',
      'FUNCTION_NOT_SUPPORTED',
      'FUNCTION_REJECTED',
      'FIPS_SELF_TEST_FAILED',
      'LIBRARY_LOAD_FAILED',
    ],
  ],
  [
    'unavailable',
    [
      'KEY_HANDLE_INVALID',
      'WRAPPING_KEY_HANDLE_INVALID',
      'UNWRAPPING_KEY_HANDLE_INVALID',
      'SESSION_CLOSED',
      'USER_NOT_LOGGED_IN',
      'DEVICE_REMOVED',
      'GENERAL_ERROR',
    ],
  ],
] as const)('the fault of a PKCS #11 token has the class %s if the error code is one of %j', ([faultClass, codes]) => {
  for (const code of codes) {
    expect(tokenFaultOf(new Error(`CKR_${code}`))).toEqual({ faultClass, errorName: `CKR_${code}` });
  }
});

it('tokenFaultOf keeps the class and the name of a TokenError', () => {
  expect(tokenFaultOf(new TokenError('misconfigured', 'KeyNotFound'))).toEqual({
    faultClass: 'misconfigured',
    errorName: 'KeyNotFound',
  });
});

it.for([
  ['an error with a text', new Error('the CKR_PIN_INCORRECT is 1234')],
  ['an error with a code and more text', new Error('CKR_PIN_INCORRECT 1234')],
  ['an error with a code of 65 characters', new Error(`CKR_PIN_${'X'.repeat(61)}`)],
  ['a string instead of an error', 'CKR_PIN_INCORRECT'],
] as const)('tokenFaultOf returns UnknownError, and no text of the token, for %s', ([, error]) => {
  expect(tokenFaultOf(error)).toEqual({ faultClass: 'unavailable', errorName: 'UnknownError' });
});

it('isPerhapsCorrupt returns true only for the error codes that a token may return for corrupt bytes', () => {
  const codes = [
    'GENERAL_ERROR',
    'FUNCTION_FAILED',
    'ARGUMENTS_BAD',
    'DEVICE_ERROR',
    'VENDOR_DEFINED',
    'AEAD_DECRYPT_FAILED',
    'DATA_INVALID',
    'ENCRYPTED_DATA_LEN_RANGE',
    'WRAPPED_KEY_INVALID',
    'SIGNATURE_INVALID',
  ];
  expect(codes.filter((code) => !isPerhapsCorrupt(new Error(`CKR_${code}`)))).toEqual([]);
  const others = ['SESSION_CLOSED', 'KEY_HANDLE_INVALID', 'DEVICE_REMOVED', 'PIN_INCORRECT'];
  expect(others.filter((code) => isPerhapsCorrupt(new Error(`CKR_${code}`)))).toEqual([]);
  expect(isPerhapsCorrupt(new Error('GENERAL_ERROR'))).toBe(false);
});
