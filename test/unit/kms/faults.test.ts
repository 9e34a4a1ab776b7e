/** Tests how Keyfold classifies an SDK error, and how much of the error's text Keyfold reports. */
import { KMSServiceException } from '@aws-sdk/client-kms';
import { describe, expect, it } from 'vitest';
import { classify, credentialsFault } from '../../../src/kms/faults.ts';
import { everyRegionFailed, RegionFault, type FaultClass, type KmsAction } from '../../../src/kms/region-fault.ts';

const REGION = 'us-west-2';

function answer(name: string, httpStatusCode = 400, message = 'CANARY'): KMSServiceException {
  return new KMSServiceException({ name, message, $fault: 'client', $metadata: { httpStatusCode } });
}

function named(name: string, code?: string): Error {
  return Object.assign(new Error('CANARY'), { name, ...(code !== undefined && { code }) });
}

/** A KMS error whose class comes from a copy of the SDK that is not Keyfold's own. */
function answerOfOtherCopy(name: string, message = 'CANARY'): Error {
  return Object.assign(new Error(message), { name, $fault: 'client', $metadata: { httpStatusCode: 400 } });
}

describe('classify', () => {
  it.for<[string, KmsAction, unknown, FaultClass, string]>([
    ['an unknown KMS error', 'Decrypt', answer('Odd'), 'misconfigured', 'Odd'],
    ['an unknown KMS error with the status 499', 'Decrypt', answer('Odd', 499), 'misconfigured', 'Odd'],
    ['an unknown KMS error with the status 408', 'Decrypt', answer('Odd', 408), 'unavailable', 'Odd'],
    ['an unknown KMS error with the status 425', 'Decrypt', answer('Odd', 425), 'unavailable', 'Odd'],
    ['a request that arrived too slowly', 'Decrypt', answer('RequestTimeout', 400), 'unavailable', 'RequestTimeout'],
    ['an unknown KMS error with the status 500', 'Decrypt', answer('Odd', 500), 'unavailable', 'Odd'],
    ['invalid parameters from a key row', 'Decrypt', answer('ValidationException'), 'corrupt', 'ValidationException'],
    [
      'invalid parameters from Keyfold',
      'Encrypt',
      answer('ValidationException'),
      'misconfigured',
      'ValidationException',
    ],
    [
      'invalid parameters from Keyfold',
      'GenerateDataKey',
      answer('InvalidArnException'),
      'misconfigured',
      'InvalidArnException',
    ],
    ['missing credentials', 'Decrypt', named('CredentialsProviderError'), 'misconfigured', 'CredentialsProviderError'],
    ['a missing token', 'Decrypt', named('TokenProviderError'), 'misconfigured', 'TokenProviderError'],
    ['a network error', 'Decrypt', named('Error', 'ECONNRESET'), 'unavailable', 'ECONNRESET'],
    ['an error from another program', 'Decrypt', named('Odd'), 'unavailable', 'Odd'],
    ['an error whose name could contain data', 'Decrypt', named('CANARY is the key'), 'unavailable', 'UnknownError'],
    ['an error with a name of 65 characters', 'Decrypt', named('x'.repeat(65)), 'unavailable', 'UnknownError'],
    ['an error with a name of 64 characters', 'Decrypt', named('x'.repeat(64)), 'unavailable', 'x'.repeat(64)],
    ['a thrown object that is not an Error', 'Decrypt', { name: 'CANARY' }, 'unavailable', 'UnknownError'],
    ['a thrown null', 'Decrypt', null, 'unavailable', 'UnknownError'],
  ])('classifies %s (in %s), and drops the text of the error', ([, action, error, faultClass, errorName]) => {
    const fault = classify(REGION, action, error);
    expect(fault).toMatchObject({ region: REGION, action, faultClass, errorName });
    expect(fault.message).toBe(`${action} in ${REGION}: ${faultClass} (${errorName})`);
  });

  it.for([
    'KMSInternalException',
    'DependencyTimeoutException',
    'KeyUnavailableException',
    'RequestTimeout',
    'RequestTimeoutException',
    'RequestAbortedException',
  ])('classifies %s as unavailable, whatever the status is', (name) => {
    expect(classify(REGION, 'Encrypt', answer(name, 400)).faultClass).toBe('unavailable');
  });

  it.for(['ValidationException', 'ValidationError', 'InvalidArnException'])(
    'classifies %s as corrupt if Decrypt fails with it, and as misconfigured if another call does',
    (name) => {
      expect(classify(REGION, 'Decrypt', answer(name)).faultClass).toBe('corrupt');
      for (const action of ['Encrypt', 'GenerateDataKey'] as const) {
        expect(classify(REGION, action, answer(name)).faultClass).toBe('misconfigured');
      }
    },
  );

  it.for<[FaultClass, string]>([
    ['misconfigured', 'arn:aws:kms:us-west-2:1:key/x is pending deletion.'],
    ['misconfigured', 'arn:aws:kms:us-west-2:1:key/x is pending replica deletion.'],
    ['misconfigured', 'arn:aws:kms:us-west-2:1:key/x is pending import.'],
    ['misconfigured', 'PendingReplicaDeletion'],
    ['unavailable', 'The custom key store is disconnected.'],
    ['unavailable', 'arn:aws:kms:us-west-2:1:key/x is creating.'],
  ])('returns the class %s for the KMSInvalidStateException "%s"', ([faultClass, message]) => {
    expect(classify(REGION, 'Decrypt', answer('KMSInvalidStateException', 400, message)).faultClass).toBe(faultClass);
  });

  it.for(['AccessDeniedException', 'DisabledException', 'KMSInvalidStateException', 'NotFoundException'])(
    'keeps up to 400 characters of the message of %s for the operator',
    (name) => {
      const { message } = classify(REGION, 'Decrypt', answer(name, 400, `User x${'y'.repeat(500)}`));
      expect(message.endsWith(`(${name}): User x${'y'.repeat(394)}`)).toBe(true);
    },
  );

  it.for<[FaultClass, string]>([
    ['misconfigured', 'AccessDeniedException'],
    ['misconfigured', 'DisabledException'],
    ['misconfigured', 'IncorrectKeyException'],
    ['misconfigured', 'NotFoundException'],
    ['unavailable', 'KMSInvalidStateException'],
    ['unavailable', 'KMSInternalException'],
    ['corrupt', 'InvalidCiphertextException'],
    ['throttled', 'ThrottlingException'],
  ])('returns the class %s for %s from another copy of the SDK', ([faultClass, name]) => {
    expect(classify(REGION, 'Decrypt', answerOfOtherCopy(name)).faultClass).toBe(faultClass);
  });

  it('keeps the message of an error from another copy of the SDK', () => {
    const { message } = classify(REGION, 'Decrypt', answerOfOtherCopy('AccessDeniedException', 'User x may not'));
    expect(message).toMatch(/User x may not$/);
  });

  it('keeps no text of an AccessDeniedException that does not come from KMS', () => {
    expect(classify(REGION, 'Decrypt', named('AccessDeniedException')).message).not.toContain('CANARY');
  });
});

describe('credentialsFault', () => {
  it.for<[string, unknown, FaultClass, string]>([
    ['refuses the role', answerOfOtherCopy('AccessDenied'), 'misconfigured', 'AccessDenied'],
    ['refuses the parameters', answerOfOtherCopy('ValidationError'), 'misconfigured', 'ValidationError'],
    ['refuses an expired token', answerOfOtherCopy('ExpiredTokenException'), 'unavailable', 'ExpiredTokenException'],
    ['throttles', answerOfOtherCopy('Throttling'), 'unavailable', 'Throttling'],
    ['cannot be reached', named('Error', 'ECONNREFUSED'), 'unavailable', 'ECONNREFUSED'],
    ['finds no credentials', named('CredentialsProviderError'), 'misconfigured', 'CredentialsProviderError'],
  ])('classifies the error of a credential provider that %s', ([, error, faultClass, errorName]) => {
    const fault = credentialsFault(REGION, 'Decrypt', error);
    expect(fault).toMatchObject({ region: REGION, action: 'Decrypt', faultClass, errorName });
    expect(fault.message).not.toContain('CANARY');
  });
});

it.for<[FaultClass[], string, string]>([
  [['unavailable', 'throttled', 'misconfigured'], 'KmsUnavailable', 'No KMS region answered: '],
  [['throttled', 'throttled'], 'KmsThrottled', 'KMS throttles in every region: '],
  [['throttled', 'misconfigured'], 'KmsThrottled', 'Every KMS region throttles or refuses: '],
  [['misconfigured', 'corrupt'], 'KmsMisconfigured', 'Every KMS region refused: '],
])('everyRegionFailed turns the fault classes %j into %s', ([classes, code, says]) => {
  const faults = classes.map((faultClass, i) => new RegionFault(`r${i}`, 'Decrypt', faultClass, 'Name', `why ${i}`));
  const error = everyRegionFailed(faults);
  expect(error).toMatchObject({ code, retryable: code !== 'KmsMisconfigured' });
  const details = classes.map((c, i) => `r${i} ${c} (Name)`).join(', ');
  expect(error.message).toBe(`${says}${details}.`);
  const reasons = classes.map((c, i) => `Decrypt in r${i}: ${c} (Name): why ${i}`).join('; ');
  expect(error.cause).toMatchObject({ message: reasons, errors: faults });
});
