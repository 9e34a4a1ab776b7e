import { expect, it } from 'vitest';
import { callFaultOf, faultText } from '../../../src/connections/call-fault.ts';

/** An error with this name, as the AWS SDK throws it. */
function named(name: string, message = 'CANARY'): Error {
  return Object.assign(new Error(message), { name });
}

it.for([
  'AccessDeniedException',
  'CredentialsProviderError',
  'DisabledException',
  'ExpiredTokenException',
  'InvalidArnException',
  'KMSInvalidStateException',
  'NotFoundException',
  'ResourceNotFoundException',
  'UnknownOperationException',
  'UnrecognizedClientException',
])("the fault %s has up to 400 characters of the error's message, which tells an operator what to correct", (name) => {
  expect(faultText(callFaultOf(named(name, 'the key k')))).toBe(`${name}: the key k`);
  expect(callFaultOf(named(name, 'x'.repeat(401)))).toEqual({ name, detail: 'x'.repeat(400) });
});

it.for(['SyntaxError', 'SerializationException', 'InternalServerError', 'ValidationException', 'Error'])(
  "the fault %s has no detail, because the error's message may quote data",
  (name) => {
    expect(faultText(callFaultOf(named(name)))).toBe(name);
  },
);

it('the fault of something that is not an error has no detail', () => {
  expect(callFaultOf({ name: 'NotFoundException', message: 'CANARY' })).not.toHaveProperty('detail');
  expect(JSON.stringify([undefined, null, 'CANARY', 5].map(callFaultOf))).not.toContain('CANARY');
});

it("the fault of a network error has the error's code and address", () => {
  const refused = { code: 'ECONNREFUSED', address: '127.0.0.1', port: 8082 };
  const fault = Object.assign(named('Error'), refused);
  expect(faultText(callFaultOf(fault))).toBe('ECONNREFUSED 127.0.0.1:8082');
  expect(faultText(callFaultOf(Object.assign(named('Error'), { ...refused, port: undefined })))).toBe(
    'ECONNREFUSED 127.0.0.1:?',
  );
  // Only the code of a network error needs no colon after it.
  for (const name of ['XECONN', 'EXPIRED_TOKEN']) expect(faultText({ name, detail: 'd' })).toBe(`${name}: d`);
  const both = Object.assign(new AggregateError([fault, named('Error')]), { code: 'ECONNREFUSED' });
  expect(faultText(callFaultOf(both))).toBe('ECONNREFUSED 127.0.0.1:8082');
});
