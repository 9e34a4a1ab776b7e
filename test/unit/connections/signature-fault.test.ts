import { expect, it } from 'vitest';
import { signatureFaultNamed, signatureFaultOf } from '../../../src/connections/signature-fault.ts';

it.for([
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'IncompleteSignature',
  'IncompleteSignatureException',
  'RequestExpired',
  'RequestInTheFuture',
  'RequestTimeTooSkewed',
])('signatureFaultOf attributes the AWS error %s to a wrong clock', (name) => {
  expect([signatureFaultNamed(name), signatureFaultOf({ name })]).toEqual(['clock', 'clock']);
});

it.for([
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'UnrecognizedClientException',
  'InvalidClientTokenId',
  'InvalidClientTokenIdException',
  'InvalidAccessKeyId',
  'InvalidToken',
  'MissingAuthenticationToken',
  'MissingAuthenticationTokenException',
])('signatureFaultOf attributes the AWS error %s to wrong credentials', (name) => {
  expect([signatureFaultNamed(name), signatureFaultOf({ name })]).toEqual(['credentials', 'credentials']);
});

it.for([
  [
    'attributes a denial to the clock if the SDK has corrected the clock',
    { name: 'AccessDeniedException', $metadata: { clockSkewCorrected: true } },
    'clock',
  ],
  [
    'finds no fault in a denial if the SDK has not corrected the clock',
    { name: 'AccessDeniedException', $metadata: { clockSkewCorrected: false } },
    undefined,
  ],
  ['finds no fault in a denial without metadata', { name: 'AccessDeniedException' }, undefined],
  [
    'finds no fault in throttling, even after a clock correction',
    { name: 'ThrottlingException', $metadata: { clockSkewCorrected: true } },
    undefined,
  ],
  ['finds no fault in an empty error', {}, undefined],
  ['finds no fault in undefined', undefined, undefined],
] as const)('signatureFaultOf %s', ([, error, fault]) => {
  expect(signatureFaultOf(error)).toBe(fault);
});
