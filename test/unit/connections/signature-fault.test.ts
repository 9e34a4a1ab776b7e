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
  [{ name: 'AccessDeniedException', $metadata: { clockSkewCorrected: true } }, 'clock'],
  [{ name: 'AccessDeniedException', $metadata: { clockSkewCorrected: false } }, undefined],
  [{ name: 'AccessDeniedException' }, undefined],
  [{ name: 'ThrottlingException', $metadata: { clockSkewCorrected: true } }, undefined],
  [{}, undefined],
  [undefined, undefined],
] as const)('signatureFaultOf classifies %j as %s', ([error, fault]) => {
  expect(signatureFaultOf(error)).toBe(fault);
});
