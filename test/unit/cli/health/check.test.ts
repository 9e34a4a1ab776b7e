import { expect, it } from 'vitest';
import { failedCall } from '../../../../src/cli/health/check.ts';

const CALL = { check: 'kms us-west-2 key', action: 'kms:DescribeKey', service: 'KMS in us-west-2' };
const ROUTE = 'check the route to KMS in us-west-2, and the endpoint in the settings';
const ALLOW = "allow kms:DescribeKey in the role's policy and in the policy of the key or table";
const RENEW = 'renew the credentials of this machine: aws sts get-caller-identity tells whether they work';
const CLOCK = 'set the clock of this machine by NTP or, if the clock is right, correct the secret access key';
const QUOTA = 'find the caller that uses up the quota, or raise it: docs/runbooks/kms-throttles.md';
const LACKS = 'the endpoint does not have kms:DescribeKey';

it.for([
  ['AccessDeniedException', 'fault', ALLOW],
  ['CredentialsProviderError', 'fault', RENEW],
  ['UnrecognizedClientException', 'fault', RENEW],
  ['InvalidSignatureException', 'fault', CLOCK],
  ['ThrottlingException', 'fault', QUOTA],
  ['LimitExceededException', 'fault', QUOTA],
  ['TooManyRequestsException', 'fault', QUOTA],
  ['ECONNREFUSED', 'fault', ROUTE],
  ['ERR_INVALID_URL', 'fault', ROUTE],
  ['TimeoutError', 'fault', ROUTE],
  ['TypeError', 'fault', ROUTE],
  ['SyntaxError', 'fault', ROUTE],
  ['Unknown', 'fault', ROUTE],
  ['NotFound', 'fault', ROUTE],
  ['InternalServerError', 'fault', ROUTE],
  ['ServiceUnavailable', 'fault', ROUTE],
] as const)('failedCall explains a call that fails with %s', ([name, state, fix]) => {
  const found = { check: CALL.check, state, says: `kms:DescribeKey failed: ${name}`, fix };
  expect(failedCall(CALL, { name }, true)).toEqual(found);
  const isPermission = name === 'AccessDeniedException';
  expect(failedCall(CALL, { name }, false)).toEqual(isPermission ? { ...found, state: 'warn' } : found);
});

it('failedCall reports a fault if the endpoint lacks an action that Keyfold needs, and skips other actions', () => {
  const failed = { name: 'UnknownOperationException' };
  expect(failedCall(CALL, failed, true)).toEqual({ check: CALL.check, state: 'fault', says: LACKS, fix: ROUTE });
  expect(failedCall(CALL, failed, false)).toEqual({ check: CALL.check, state: 'skip', says: LACKS });
});

it.for(['DisabledException', 'NotFoundException', 'ResourceNotFoundException', 'UnknownKey', 'MyTypeError', 'Enabled'])(
  'failedCall returns undefined for %s, so that the caller of failedCall explains the error',
  (name) => {
    expect(failedCall(CALL, { name }, true)).toBeUndefined();
  },
);
