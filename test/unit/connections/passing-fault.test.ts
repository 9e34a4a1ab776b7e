import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import { mayFindLater, mayPass } from '../../../src/connections/passing-fault.ts';

it.for([
  ['throttling', { name: 'ThrottlingException' }, true],
  ['a 5xx response', { name: 'InternalServerError', $metadata: { httpStatusCode: 503 } }, true],
  ['a timeout', { name: 'TimeoutError' }, true],
  ['a lost connection', { code: 'ECONNRESET' }, true],
  ['a denial', { name: 'AccessDeniedException', $metadata: { httpStatusCode: 400 } }, false],
  ['an error of the program', {}, false],
  ['an error with a number instead of a code', { code: 24 }, false],
] as const)('mayPass says whether another attempt may succeed after %s', ([, members, expected]) => {
  expect(mayPass(Object.assign(new Error('failed'), members))).toBe(expected);
});

it.for([
  ['InvalidIdentityTokenException', "Couldn't retrieve verification key from your identity provider,  please …", true],
  ['InvalidIdentityToken', "Couldn't retrieve verification key from your identity provider,  please …", true],
  ['InvalidIdentityTokenException', 'No OpenIDConnect provider found in your account', false],
  ['Error', "Couldn't retrieve verification key", false],
] as const)('mayPass tells temporary errors of STS from permanent ones: %s, "%s"', ([name, message, expected]) => {
  expect(mayPass(Object.assign(new Error(message), { name }))).toBe(expected);
});

it.for([undefined, null, 'EMFILE', { name: 'ThrottlingException' }])(
  'mayPass is false for a thrown value that is not an Error: %j',
  (thrown) => {
    expect(mayPass(thrown)).toBe(false);
  },
);

it.for([
  ['a lost connection', { code: 'ECONNRESET' }, true],
  ['a 5xx response', { $metadata: { httpStatusCode: 507 } }, true],
  ['a missing file descriptor', { code: 'EMFILE' }, true],
  ['an error of the program', {}, false],
] as const)('mayPass accepts null as the cause of %s', ([, members, expected]) => {
  const error = Object.assign(new Error('failed', { cause: null }), members);
  expect(mayPass(error)).toBe(expected);
  expect(mayPass(Object.assign(new Error('failed', { cause: new Error('x', { cause: null }) }), members))).toBe(
    expected,
  );
});

it.for([
  ['throttles', 'Throttling', true],
  ['refuses an expired token', 'ExpiredTokenException', true],
  ['refuses the time of a signature', 'RequestExpired', true],
  ['refuses the role', 'AccessDenied', false],
] as const)('mayFindLater says whether to call a credential provider again if STS %s', ([, name, expected]) => {
  expect(mayFindLater(Object.assign(new Error('failed'), { name }))).toBe(expected);
});

it('mayPass reads the code of an error of another realm', () => {
  expect(mayPass(runInNewContext("Object.assign(new Error('failed'), { code: 'EMFILE' })"))).toBe(true);
});

it.for([
  'UND_ERR_CONNECT_TIMEOUT',
  'UND_ERR_HEADERS_TIMEOUT',
  'UND_ERR_BODY_TIMEOUT',
  'UND_ERR_SOCKET',
  'EMFILE',
  'ENFILE',
  'EADDRNOTAVAIL',
  'ECONNABORTED',
  'EHOSTDOWN',
  'ENETDOWN',
  'ENOBUFS',
])('mayPass is true if an error, or one of its first ten causes, has the code %s', (code) => {
  const causedBy = (causes: number): Error => {
    let error = Object.assign(new Error('failed'), { code });
    for (let i = 0; i < causes; i += 1) error = Object.assign(new Error('failed', { cause: error }), { code: 'x' });
    return error;
  };
  expect([0, 1, 10, 11].map((causes) => mayPass(causedBy(causes)))).toEqual([true, true, true, false]);
  for (const other of [`${code}S`, `X${code}`]) {
    expect(mayPass(Object.assign(new Error('failed'), { code: other }))).toBe(false);
  }
});
