import { runInNewContext } from 'node:vm';
import { expect, it } from 'vitest';
import * as checks from '../../../src/input/checks.ts';
import { listening, numberFaults } from '../../../src/input/defaults.ts';
import { awsRegionOf, endpointFaults, isHttpUrl, isOfOtherRegion } from '../../../src/input/endpoint.ts';
import { detached, outOfBounds } from '../../support/hostile.ts';
import { OtherSignal } from '../../support/other-signal.ts';

const { proxy: revoked, revoke } = Proxy.revocable({}, {});
revoke();

const VALUES: Readonly<Record<string, unknown>> = {
  undefined: undefined,
  null: null,
  text: 'x',
  'a number': Number.NaN,
  true: true,
  'a function': () => {},
  'an object': {},
  'an object of another realm': runInNewContext('({})'),
  'a bare object': Object.create(null),
  'an array': [],
  'a Map': new Map(),
  'a Date': new Date(),
  bytes: new Uint8Array(2),
  'no bytes': new Uint8Array(),
  'bytes of another realm': runInNewContext('new Uint8Array(2)'),
  'a Uint16Array': new Uint16Array(1),
  'a detached array': detached(),
  'an array out of bounds': outOfBounds(),
  'a signal': new AbortController().signal,
  'a signal of a polyfill': new OtherSignal(),
};

/** The values that have the type. */
function holding(type: checks.Type): string[] {
  return Object.keys(VALUES).filter((key) => type.holds(VALUES[key]));
}

it.for<[checks.Type, string, string[]]>([
  [checks.STRING, 'a string', ['text']],
  [checks.NUMBER, 'a number', ['a number']],
  [checks.BOOLEAN, 'a boolean', ['true']],
  [checks.FUNCTION, 'a function', ['a function']],
  [checks.OBJECT, 'an object', ['an object', 'an object of another realm', 'a bare object']],
  [checks.BYTES, 'a Uint8Array whose buffer is not detached', ['bytes', 'no bytes', 'bytes of another realm']],
  [checks.ABORT_SIGNAL, 'an AbortSignal', ['a signal', 'a signal of a polyfill']],
  [checks.ARRAY, 'an array', ['an array']],
  [checks.ANYTHING, 'anything', Object.keys(VALUES)],
])('the argument check "$1" accepts only such values', ([type, called, accepted]) => {
  expect(type.called).toBe(called);
  expect(holding(type)).toEqual(accepted);
  expect(checks.optional(type).called).toBe(called);
  expect(new Set(holding(checks.optional(type)))).toEqual(new Set(['undefined', ...accepted]));
});

it.for(['addEventListener', 'removeEventListener', 'throwIfAborted', 'aborted'])(
  'an AbortSignal must have the member %s',
  (name) => {
    const { signal } = new AbortController();
    expect(checks.ABORT_SIGNAL.holds(Object.create(signal, { [name]: { value: undefined } }))).toBe(false);
  },
);

it('check throws an error that names the parameter, the type and the kind of the value, but not the value', () => {
  const said = Object.entries(VALUES).map(([, value]) => {
    try {
      checks.check(value, 'it', checks.having('send', 'stop'));
    } catch (error) {
      return (error as Error).message.replace('it must be an object with send, stop, not ', '');
    }
    return 'nothing';
  });
  expect(new Set(said)).toEqual(
    new Set(['undefined.', 'null.', 'a string.', 'a number.', 'a boolean.', 'a function.', 'another object.']),
  );
  expect(() => checks.check({ send: 5 }, 'it', checks.having('send'))).toThrow('it must be an object with send, not');
  expect(() => checks.check({ send: () => {} }, 'it', checks.having('send'))).not.toThrow();
  expect(() => checks.check(5, 'it', checks.having())).toThrow(new TypeError('it must be an object, not a number.'));
  const choice = checks.oneOf('a', 'b');
  expect(() => checks.check('c', 'it', choice)).toThrow(new TypeError("it must be 'a' or 'b', not a string."));
  expect(() => checks.check('b', 'it', choice)).not.toThrow();
});

it('a value that cannot be inspected or read causes a TypeError with the cause', () => {
  expect(() => checks.check(revoked, 'it', checks.OBJECT)).toThrow(
    expect.objectContaining({ message: 'it cannot be read.', cause: expect.any(TypeError) as unknown }),
  );
  const cause = new Error('CANARY');
  const given = {
    get a(): never {
      throw cause;
    },
  };
  const thrown = (message: string): unknown => expect.objectContaining({ name: 'TypeError', message, cause });
  expect(() => checks.membersOf(given, 'it', { a: checks.STRING })).toThrow(thrown('it.a cannot be read.'));
  const items = Object.defineProperty([1], 0, { get: () => given.a });
  expect(() => checks.itemsOf(items, 'it', withName)).toThrow(thrown('it.0 cannot be read.'));
  expect(() => listening({ a: () => {} }, given, 'events')).toThrow(thrown('events.a cannot be read.'));
});

it('membersOf reads each member once, and leaves out undefined and unknown members', () => {
  let reads = 0;
  const given = {
    get a(): string {
      return `read ${(reads += 1)}`;
    },
    b: undefined,
    c: 5,
  };
  const types = { a: checks.STRING, b: checks.optional(checks.STRING) };
  expect(checks.membersOf(given, 'it', types)).toStrictEqual({ a: 'read 1' });
  expect(() => checks.optionsOf(given, 'it', types)).toThrow(
    new TypeError('it has no option c. Its options are a, b.'),
  );
  const record = checks.recordOf(JSON.parse('{"__proto__":"x","a":"y"}'), 'it', checks.STRING);
  expect(Object.entries(record)).toEqual([
    ['__proto__', 'x'],
    ['a', 'y'],
  ]);
  expect(() => checks.recordOf({ a: 'x', b: 5 }, 'it', checks.STRING)).toThrow(
    new TypeError('it.b must be a string, not a number.'),
  );
  expect(() => checks.membersOf('x', 'it', types)).toThrow(new TypeError('it must be an object, not a string.'));
  expect(() => checks.recordOf([], 'it', checks.STRING)).toThrow(
    new TypeError('it must be an object, not another object.'),
  );
});

function withName(item: unknown, name: string): string {
  return `${name} ${String(checks.checked(checks.STRING)(item, name))}`;
}

it('itemsOf returns the result for each item, or throws an error that names the wrong item', () => {
  expect(checks.itemsOf(['a', 'b'], 'it', withName)).toEqual(['it[0] a', 'it[1] b']);
  expect(() => checks.itemsOf(['a', 5], 'it', withName)).toThrow(
    new TypeError('it[1] must be a string, not a number.'),
  );
  expect(() => checks.itemsOf('ab', 'it', withName)).toThrow(new TypeError('it must be an array, not a string.'));
});

it('the bytes of a Uint8Array are read correctly even if the array overrides length, byteLength and byteOffset', () => {
  const whole = new Uint8Array([1, 2, 3, 4, 5]);
  const odd = whole.subarray(1, 4);
  for (const name of ['length', 'byteLength', 'byteOffset']) Object.defineProperty(odd, name, { value: 1 });
  expect(checks.byteLengthOf(odd)).toBe(3);
  expect(checks.viewOf(odd)).toEqual(Buffer.from([2, 3, 4]));
  expect(Buffer.from(checks.partOf(odd, 1, 3))).toEqual(Buffer.from([3, 4]));
  checks.viewOf(odd)[0] = 9;
  expect(whole[1]).toBe(9);
  const to = new Uint8Array(5);
  checks.copyBytes(whole, 1, to, 2, 2);
  expect(to).toEqual(new Uint8Array([0, 0, 9, 3, 0]));
});

it('numberFaults lists each number that is not a positive whole number', () => {
  const defaults = { a: 1, b: 1, c: 1, d: 1, text: 'x' };
  expect(numberFaults({ a: 0, b: 1.5, c: 2 ** 53, d: 1, text: '' }, defaults)).toEqual(
    ['a', 'b', 'c'].map((name) => `${name} must be a positive whole number`),
  );
  expect(numberFaults({ ...defaults, a: 0, b: -1 }, defaults, ['a', 'b'])).toEqual([
    'b must be a positive whole number',
  ]);
});

it('listening() ignores the errors of a listener, so that they cannot change the outcome of a request', async () => {
  const unhandled: unknown[] = [];
  const note = (error: unknown): void => void unhandled.push(error);
  process.on('unhandledRejection', note);
  const silent: Record<string, () => unknown> = { a: () => {}, b: () => {}, c: () => {} };
  const listeners = listening(
    silent,
    {
      a: () => {
        throw new Error('a listener');
      },
      b: async () => {
        throw new Error('an asynchronous listener');
      },
      c: () => 5,
    },
    'events',
  );
  for (const event of Object.values(listeners)) expect(event()).toBeUndefined();
  await new Promise(setImmediate);
  process.off('unhandledRejection', note);
  expect(unhandled).toEqual([]);
});

it('listening() calls each listener as a method of its object, with all values, and does nothing for a missing listener', () => {
  const silent: Record<'began' | 'ended', (...values: unknown[]) => void> = { began: () => {}, ended: () => {} };
  const calls: unknown[] = [];
  const given = {
    began(...values: unknown[]): void {
      calls.push([this === given, ...values]);
    },
    other: 5,
  };
  expect(listening(silent, undefined, 'events')).toBe(silent);
  const listeners = listening(silent, given, 'events');
  expect(Object.keys(listeners)).toEqual(['began', 'ended']);
  expect(listeners.ended).toBe(silent.ended);
  listeners.began(1, 2);
  expect(calls).toEqual([[true, 1, 2]]);
  expect(() => listening(silent, { ended: 5 as never }, 'events')).toThrow(
    new TypeError('events.ended must be a function, not a number.'),
  );
  expect(() => listening(silent, 5 as never, 'events')).toThrow(
    new TypeError('events must be an object, not a number.'),
  );
});

it('endpointFaults says what is wrong with a URL', () => {
  for (const endpoint of [undefined, 'http://127.0.0.1:1', 'https://a.example/b'])
    expect(endpointFaults(endpoint)).toEqual([]);
  for (const endpoint of [
    '',
    'a.example',
    'ftp://a.example',
    'http://a.example/\n',
    'http://a b',
    'xhttp://a',
    'http://',
  ]) {
    expect(endpointFaults(endpoint)).toEqual(['is not a URL']);
    expect(isHttpUrl(endpoint)).toBe(false);
  }
  for (const endpoint of ['http://a?b', 'http://a#b', 'http://u@a', 'http://:p@a'])
    expect(endpointFaults(endpoint)).toEqual(['has a query, a fragment or credentials']);
});

it.for([
  'https://kms.us-west-2.amazonaws.com',
  'https://kms-fips.us-west-2.api.aws',
  'https://vpce-1-x.kms.us-west-2.vpce.amazonaws.com',
  'https://dynamodb.us-west-2.amazonaws.com',
  'https://111122223333.ddb.us-west-2.amazonaws.com',
  'https://KMS.US-WEST-2.amazonaws.com.:443/',
])('isOfOtherRegion finds the region of %s', (endpoint) => {
  expect([isOfOtherRegion(endpoint, 'us-west-2'), isOfOtherRegion(endpoint, 'us-west-1')]).toEqual([false, true]);
});

it.for([
  ['us-west-2', 'amazonaws.com'],
  ['us-gov-west-1', 'amazonaws.com'],
  ['us-gov-west-1', 'api.aws'],
  ['cn-north-1', 'amazonaws.com.cn'],
  ['cn-north-1', 'api.amazonwebservices.com.cn'],
  ['eusc-de-east-1', 'amazonaws.eu'],
  ['eusc-de-east-1', 'api.amazonwebservices.eu'],
])("awsRegionOf finds %s in each form of AWS's hosts that ends with %s", ([region, domain]) => {
  for (const name of ['kms', 'kms-fips', 'dynamodb', 'dynamodb-fips', '111122223333.ddb'])
    expect(awsRegionOf(`https://${name}.${region}.${domain}`)).toBe(region);
  for (const name of ['vpce-1.kms', 'vpce-1-us-west-2a.dynamodb'])
    expect(awsRegionOf(`https://${name}.${region}.vpce.${domain}`)).toBe(region);
});

it.for([
  'http://127.0.0.1:8000',
  'https://kms.example.com',
  'https://kms.us-west-2.example.com',
  'https://kms.us-west-2.amazonaws.com.proxy.example',
  'https://kms.us-west-2.amazonaws.com.cn.proxy.example',
  'https://kms.us-west-2.amazonaws.community',
  'https://kms.us-west-2.api.aws.example',
  'https://kms.us-west-2.amazonaws-eu.example',
  'not a URL',
])('isOfOtherRegion accepts %s for every region', (endpoint) => {
  expect(isOfOtherRegion(endpoint, 'eu-west-1')).toBe(false);
});
