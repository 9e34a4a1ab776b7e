/** Tests that each case of the KMS contracts fails for a KMS that breaks it. */
import { createSecretKey } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { seal } from '../../../src/crypto/aead.ts';
import {
  KeyfoldError,
  StaticKms,
  type Deadline,
  type KeyManagementService,
  type RowProofBasis,
  type Unwrapped,
  type WrapRenewer,
} from '../../../src/index.ts';
import { kmsContract, noDeadline, wrapRenewerContract, type KmsContractOptions } from '../../../src/testing/index.ts';
import { failsIn, failuresOf, strictly } from '../../support/contract/failures.ts';
import { errorOf } from '../../support/fakes.ts';

const MASTER = Buffer.alloc(32, 7);
const sound = new StaticKms(MASTER, {});

/** A KMS that differs from a sound one in some methods. */
function kms(changes: Partial<KeyManagementService>): KeyManagementService {
  return { wrap: (key) => sound.wrap(key), unwrap: (wrapped) => sound.unwrap(wrapped), ...changes };
}

const plain = {
  wrap: async (key: Uint8Array) => Buffer.from(key),
  unwrap: async (key: Uint8Array) => ({ key: Buffer.from(key) }),
};
/** An error that is not of Keyfold. */
const FOREIGN = new Error('from elsewhere');
const CODED = Object.assign(new Error('from elsewhere'), { code: 'KmsUnavailable' });
const NO_WRAP = { unreadable: 'it is not a wrap' };

/**
 * Makes an `unwrap` that throws an error for a wrap with changed bytes, instead of returning that the wrap is
 * unreadable.
 */
function unreadableAs(error: () => Error): KeyManagementService['unwrap'] {
  return async (wrapped) => {
    const unwrapped = await sound.unwrap(wrapped);
    if ('unreadable' in unwrapped && wrapped.length === 60) throw error();
    return unwrapped;
  };
}

/** Encrypts without authentication, so it opens a changed wrap to a different key. */
const malleable: KeyManagementService = {
  wrap: async (key) => Buffer.concat([Buffer.from('wrap'), key.map((byte) => byte ^ 0x5a)]),
  unwrap: async (wrapped) => {
    const bytes = Buffer.from(wrapped);
    if (bytes.length !== 36 || bytes.toString('latin1', 0, 4) !== 'wrap') return NO_WRAP;
    return { key: Buffer.from(bytes.subarray(4).map((byte) => byte ^ 0x5a)) };
  },
};

const keptKeys = new Map<string, Buffer>();
const kept = Buffer.alloc(32);

/** A KMS that fails with one code. */
function refuse(code: 'KmsUnavailable' | 'KmsThrottled' | 'KmsMisconfigured') {
  const fail = () => Promise.reject(new KeyfoldError(code, 'No.'));
  return { wrap: fail, unwrap: fail };
}

/** A KMS that changes the key that an unwrap returns. */
function changingKeys(change: (key: Buffer) => Buffer): KeyManagementService {
  return kms({
    unwrap: async (wrapped) => {
      const unwrapped = await sound.unwrap(wrapped);
      return 'key' in unwrapped ? { key: change(unwrapped.key) } : unwrapped;
    },
  });
}

/** A KMS whose wraps have 62 bytes, and begin with W and end with E. The function unwraps all other bytes. */
function framed(unwrapOther: (wrapped: Uint8Array) => Unwrapped): KeyManagementService {
  return {
    wrap: async (key) => Buffer.concat([Buffer.from('W'), await sound.wrap(key), Buffer.from('E')]),
    unwrap: async (wrapped) => {
      const isWhole = wrapped.length === 62 && wrapped[0] === 87 && wrapped[61] === 69;
      return isWhole ? sound.unwrap(wrapped.subarray(1, -1)) : unwrapOther(wrapped);
    },
  };
}

interface BasisParts {
  readonly key?: number;
  readonly length?: number;
  readonly sealed?: string;
}

function basisOf({ key = 1, length = 32, sealed = 'x' }: BasisParts): RowProofBasis {
  return { key: Buffer.alloc(length, key), sealed: Buffer.from(sealed) };
}

/** A KMS that returns these bases for the proof of a row with an unwrap and with a wrap. */
function proving(
  unwrapped: (key: Uint8Array) => RowProofBasis | undefined,
  wrapped: (key: Uint8Array) => RowProofBasis | undefined,
): KeyManagementService {
  return {
    wrap: async (key) => ({ wrapped: await sound.wrap(key), rowProof: wrapped(key) }),
    unwrap: async (bytes) => {
      const opened = await sound.unwrap(bytes);
      return 'key' in opened ? { key: opened.key, rowProof: unwrapped(opened.key) } : opened;
    },
  };
}

/** A KMS that has only one master key. A rotation replaces this key, so earlier wraps no longer open. */
function forgetful() {
  let master = sound;
  return {
    open: () => kms({ wrap: (key) => master.wrap(key), unwrap: (wrapped) => master.unwrap(wrapped) }),
    rotate: () => void (master = new StaticKms(crypto.getRandomValues(new Uint8Array(32)), {})),
  };
}

/** When the signal aborts, rejects with the signal's reason. */
function hang(_bytes: Uint8Array, { signal }: Deadline): Promise<never> {
  return new Promise((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error));
  });
}

/** The outcome of the case about aborted calls, for a KMS that rejects an aborted unwrap with this error. */
function outcomeOfAbort(errorOfAbort: (signal: AbortSignal) => Error): Promise<unknown> {
  const unwrap: KeyManagementService['unwrap'] = async (wrapped, { signal }) => {
    if (signal.aborted) throw errorOfAbort(signal);
    return sound.unwrap(wrapped);
  };
  const aborts = kmsContract(() => kms({ unwrap })).find(({ name }) => name.includes('aborted deadline'));
  return aborts?.run().catch((error: unknown) => error) ?? Promise.reject(new Error('no such case'));
}

describe('kmsContract', () => {
  it.each<[string, () => KeyManagementService, string]>([
    [
      'forgets its keys',
      () => new StaticKms(crypto.getRandomValues(new Uint8Array(32)), {}),
      'another process wrapped',
    ],
    [
      'forgets its keys',
      () => new StaticKms(crypto.getRandomValues(new Uint8Array(32)), {}),
      'serves a whole process with one wrap or one unwrap',
    ],
    [
      'unwraps the wrap of another process to other bytes',
      () => {
        const own = new Set<string>();
        return kms({
          wrap: async (key) => {
            const wrapped = await sound.wrap(key);
            own.add(String(wrapped));
            return wrapped;
          },
          unwrap: async (wrapped) => (own.has(String(wrapped)) ? sound.unwrap(wrapped) : { key: Buffer.alloc(32) }),
        });
      },
      'another process wrapped',
    ],
    [
      'keeps the array of the key that it wrapped',
      () => {
        const arrays = new Map<string, Uint8Array>();
        return kms({
          wrap: async (key) => {
            const wrapped = await sound.wrap(key);
            arrays.set(String(wrapped), key);
            return wrapped;
          },
          unwrap: async (wrapped) => {
            const array = arrays.get(String(wrapped));
            return array === undefined ? sound.unwrap(wrapped) : { key: Buffer.from(array) };
          },
        });
      },
      'keeps no reference',
    ],
    [
      "zeroes the caller's key",
      () => kms({ wrap: async (key) => sound.wrap(key).finally(() => key.fill(0)) }),
      'leaves the given key unchanged',
    ],
    ['returns the key itself as the wrap', () => plain, 'does not show the key'],
    ...(['base64', 'hex'] as const).map((encoding): [string, () => KeyManagementService, string] => [
      `returns the key in ${encoding} as the wrap`,
      () => kms({ wrap: async (key) => Buffer.from(Buffer.from(key).toString(encoding)) }),
      'does not show the key',
    ]),
    ['unwraps any bytes', () => plain, 'bytes that it can never unwrap'],
    ['unwraps changed bytes to another key', () => plain, 'never unwraps changed bytes'],
    [
      'returns the same memory twice',
      () =>
        kms({
          unwrap: async (wrapped) => {
            const name = Buffer.from(wrapped).toString('hex');
            const known = keptKeys.get(name);
            if (known !== undefined) return { key: known };
            const unwrapped = await sound.unwrap(wrapped);
            if ('key' in unwrapped) keptKeys.set(name, unwrapped.key);
            return unwrapped;
          },
        }),
      'returns new bytes from each unwrap',
    ],
    [
      'throws for foreign bytes',
      () => kms({ unwrap: () => Promise.reject(new KeyfoldError('KmsMisconfigured', 'No.')) }),
      'bytes that it can never unwrap',
    ],
    [
      'throws for a wrap of one byte',
      () =>
        kms({
          unwrap: async (wrapped) => {
            if (wrapped.length === 1) throw new KeyfoldError('KmsMisconfigured', 'No.');
            return sound.unwrap(wrapped);
          },
        }),
      'bytes that it can never unwrap',
    ],
    [
      'mixes up concurrent calls',
      () =>
        kms({
          wrap: async (key) => {
            kept.set(key);
            await new Promise((resolve) => void setTimeout(resolve));
            return sound.wrap(kept);
          },
        }),
      'unwraps 100 keys concurrently',
    ],
    [
      'returns a basis for the row proof from wrap but not from unwrap',
      () =>
        kms({
          wrap: async (key) => ({
            wrapped: await sound.wrap(key),
            rowProof: { key: Buffer.alloc(32, 1), sealed: Buffer.from('x') },
          }),
        }),
      'the same basis for the proof',
    ],
    [
      'reads the memory around a view',
      () => kms({ wrap: (key) => sound.wrap(Buffer.from(key.buffer).subarray(0, 32)) }),
      'only the bytes of a view',
    ],
    [
      'reads the memory around the view of a wrap',
      () => kms({ unwrap: (wrapped) => sound.unwrap(Buffer.from(wrapped.buffer)) }),
      'only the bytes of a view',
    ],
    [
      'zeroes the wrap that it unwraps',
      () => kms({ unwrap: async (wrapped) => sound.unwrap(wrapped).finally(() => wrapped.fill(0)) }),
      'leaves the given wrap unchanged',
    ],
    ['encrypts without a tag', () => malleable, 'never unwraps changed bytes'],
    [
      'throws KmsMisconfigured for every changed byte',
      () => kms({ unwrap: unreadableAs(() => new KeyfoldError('KmsMisconfigured', 'No.')) }),
      'never unwraps changed bytes',
    ],
    [
      'throws KmsUnavailable for changed bytes, so that callers retry for ever',
      () => kms({ unwrap: unreadableAs(() => new KeyfoldError('KmsUnavailable', 'No.')) }),
      'never unwraps changed bytes',
    ],
    [
      'throws an error of its parser for changed bytes',
      () => kms({ unwrap: unreadableAs(() => new SyntaxError('No.')) }),
      'never unwraps changed bytes',
    ],
    [
      'shows a wrap in its reason',
      () =>
        kms({
          unwrap: async (wrapped) => {
            const unwrapped = await sound.unwrap(wrapped);
            return 'key' in unwrapped ? unwrapped : { unreadable: `${Buffer.from(wrapped).toString('base64')} is bad` };
          },
        }),
      'never unwraps changed bytes',
    ],
    ...[
      ['array', (wrapped: Uint8Array) => Uint8Array.from(wrapped)] as const,
      ['Buffer', (wrapped: Uint8Array) => Buffer.from(wrapped)] as const,
      ['list in JSON', (wrapped: Uint8Array) => JSON.stringify([...wrapped])] as const,
    ].map(([form, shown]): [string, () => KeyManagementService, string] => [
      `shows a wrap as ${form} in the cause of its error`,
      () =>
        kms({
          unwrap: async (wrapped) => {
            const unwrapped = await sound.unwrap(wrapped);
            // Throw for some of the changed wraps only. The contract does not accept a KMS that refuses all of them.
            if ('key' in unwrapped || wrapped.length < 60 || (wrapped[0] ?? 0) % 2 === 0) return unwrapped;
            throw new KeyfoldError('KmsMisconfigured', 'No.', { cause: { wrapped: shown(wrapped) } });
          },
        }),
      'never unwraps changed bytes',
    ]),
    [
      'returns the key of another concurrent call',
      () => {
        let last: Uint8Array = Buffer.alloc(0);
        return kms({
          unwrap: async (wrapped) => {
            last = wrapped;
            await new Promise((resolve) => void setTimeout(resolve));
            return sound.unwrap(last);
          },
        });
      },
      'unwraps 100 keys concurrently',
    ],
    [
      'makes empty wraps',
      () => ({
        wrap: async (key) => {
          kept.set(key);
          return Buffer.alloc(0);
        },
        unwrap: async () => ({ key: Buffer.from(kept) }),
      }),
      'another process wrapped',
    ],
    [
      'returns the key as a DataView',
      () => changingKeys((key) => new DataView(key.buffer, key.byteOffset, key.byteLength) as unknown as Buffer),
      'another process wrapped',
    ],
    ...[0, 1, 32, 200].map((length): [string, () => KeyManagementService, string] => [
      `throws for ${length} foreign bytes`,
      () =>
        kms({
          unwrap: async (wrapped) => {
            if (wrapped.length === length) throw new KeyfoldError('KmsMisconfigured', 'No.');
            return sound.unwrap(wrapped);
          },
        }),
      'bytes that it can never unwrap',
    ]),
    ...[60, 200].flatMap((length) =>
      ['', 5].map((unreadable): [string, () => KeyManagementService, string] => [
        `returns the reason ${JSON.stringify(unreadable)} for a wrong wrap of ${length} bytes`,
        () =>
          kms({
            unwrap: async (wrapped) => {
              const unwrapped = await sound.unwrap(wrapped);
              return wrapped.length === length && 'unreadable' in unwrapped
                ? { unreadable: unreadable as string }
                : unwrapped;
            },
          }),
        length === 60 ? 'never unwraps changed bytes' : 'bytes that it can never unwrap',
      ]),
    ),
    ...(
      [
        ['the last byte', (wrapped) => wrapped.length === 61 && wrapped[0] === 87],
        ['the first byte', (wrapped) => wrapped.length === 61 && wrapped[60] === 69],
        ['the second half', (wrapped) => wrapped.length === 31],
      ] satisfies [string, (wrapped: Uint8Array) => boolean][]
    ).map(([part, isChanged]): [string, () => KeyManagementService, string] => [
      `unwraps a wrap without ${part} to another key`,
      () => framed((wrapped) => (isChanged(wrapped) ? { key: Buffer.alloc(32) } : NO_WRAP)),
      'never unwraps changed bytes',
    ]),
    [
      'unwraps a wrap with a further byte to another key',
      () => framed((wrapped) => (wrapped.length === 63 ? { key: Buffer.alloc(32) } : NO_WRAP)),
      'never unwraps changed bytes',
    ],
    [
      'throws an error with a code of Keyfold that is no KeyfoldError for changed bytes',
      () => kms({ unwrap: unreadableAs(() => Object.assign(new Error('No.'), { code: 'KmsMisconfigured' })) }),
      'never unwraps changed bytes',
    ],
    ...(['reason', 'error'] as const).map((where): [string, () => KeyManagementService, string] => [
      `shows the key in the ${where} for changed bytes`,
      () => {
        let key = '';
        return kms({
          wrap: async (given) => {
            key = Buffer.from(given).toString('base64');
            return sound.wrap(given);
          },
          unwrap: async (wrapped) => {
            const unwrapped = await sound.unwrap(wrapped);
            if ('key' in unwrapped || wrapped.length !== 60) return unwrapped;
            // Throw for some of the changed wraps only. The contract does not accept a KMS that refuses all of them.
            if (where === 'reason' || (wrapped[0] ?? 0) % 2 === 0)
              return { unreadable: where === 'reason' ? key : 'x' };
            throw new KeyfoldError('KmsMisconfigured', key);
          },
        });
      },
      'never unwraps changed bytes',
    ]),
    ...(
      [
        ['another key for the proof than wrap', { key: 2 }, {}],
        ['other bytes for the proof than wrap', { sealed: 'y' }, {}],
        ['a basis with a key of 31 bytes', { length: 31 }, { length: 31 }],
        ['no basis, although wrap returns one', undefined, {}],
      ] satisfies [string, BasisParts | undefined, BasisParts][]
    ).map(([what, unwrapped, wrapped]): [string, () => KeyManagementService, string] => [
      `returns from unwrap ${what}`,
      () =>
        proving(
          () => unwrapped && basisOf(unwrapped),
          () => basisOf(wrapped),
        ),
      'the same basis for the proof',
    ]),
    [
      'returns a basis for the row proof from unwrap but not from wrap',
      () =>
        proving(
          () => basisOf({}),
          () => undefined,
        ),
      'the same basis for the proof',
    ],
    [
      'returns the System Key as the key of the basis',
      () =>
        proving(
          (key) => ({ key: Buffer.from(key), sealed: Buffer.from('x') }),
          (key) => ({ key: Buffer.from(key), sealed: Buffer.from('x') }),
        ),
      'the same basis for the proof',
    ],
    [
      'rejects a call with an error of its own if the call is aborted while it runs',
      () =>
        kms({
          unwrap: async (wrapped, { signal }) => {
            await new Promise((resolve) => void setTimeout(resolve));
            if (signal.aborted) throw new KeyfoldError('KmsUnavailable', 'Aborted.');
            return sound.unwrap(wrapped);
          },
        }),
      'under an aborted deadline',
    ],
    [
      'rejects a call with an error of its own if the call was aborted before',
      () =>
        kms({
          wrap: async (key, { signal }) => {
            if (signal.aborted) throw new Error('aborted');
            return sound.wrap(key);
          },
        }),
      'under an aborted deadline',
    ],
  ])('fails for a KMS that %s', async (_name, open, failure) => {
    expect(await failsIn(kmsContract(open), failure)).toBe(true);
  });

  it.each<[string, KmsContractOptions, string, unknown]>([
    [
      'resolves during an outage',
      { openFailing: () => kms({}) },
      'wrap must reject with a KeyfoldError of the code KmsUnavailable or KmsThrottled or KmsMisconfigured.',
      'It has resolved.',
    ],
    [
      'rejects with another error during an outage',
      { openFailing: () => kms({ wrap: () => Promise.reject(FOREIGN) }) },
      'wrap must reject with a KeyfoldError of the code KmsUnavailable or KmsThrottled or KmsMisconfigured.',
      FOREIGN,
    ],
    [
      'rejects with an error of its own that has the code',
      { openFailing: () => kms({ wrap: () => Promise.reject(CODED) }) },
      'wrap must reject with a KeyfoldError of the code KmsUnavailable or KmsThrottled or KmsMisconfigured.',
      CODED,
    ],
    [
      'resolves although its service does not answer',
      { openHanging: () => kms({ wrap: hang }) },
      'unwrap must reject with the reason of the signal within two seconds.',
      'It has resolved.',
    ],
    [
      'rejects with another error although its service does not answer',
      { openHanging: () => kms({ wrap: () => Promise.reject(FOREIGN) }) },
      'wrap must reject with the reason of the signal within two seconds.',
      FOREIGN,
    ],
    [
      'ignores the deadline while it waits',
      { openHanging: () => kms({ wrap: hang, unwrap: () => new Promise(() => {}) }) },
      'unwrap must reject with the reason of the signal within two seconds.',
      'It has not ended.',
    ],
  ])('names the faulty call and its outcome if a KMS %s', async (_name, options, message, cause) => {
    const names = new Set(kmsContract(() => sound).map(({ name }) => name));
    const one = kmsContract(() => sound, options).find(({ name }) => !names.has(name));
    expect(await errorOf(one?.run() ?? Promise.resolve())).toMatchObject({ message, cause });
  });

  it('accepts only the reason of an aborted signal as the error of its call, and names the call', async () => {
    expect(await outcomeOfAbort(({ reason }) => reason as Error)).toBeUndefined();
    const message = 'unwrap must reject with the reason of an aborted signal.';
    expect(await outcomeOfAbort(() => FOREIGN)).toMatchObject({ message, cause: FOREIGN });
  });

  it.for([
    ['every byte of a short wrap', 0, 60, 1],
    ['128 bytes that are spread over a long wrap', 196, 128, 2],
  ] as const)('changes %s, one at a time', async ([, padding, count, step]) => {
    let whole = Buffer.alloc(0);
    const changed: number[] = [];
    const padded = kms({
      wrap: async (key) => (whole = Buffer.concat([await sound.wrap(key), Buffer.alloc(padding)])),
      unwrap: async (wrapped) => {
        if (wrapped.length === whole.length) changed.push(wrapped.findIndex((byte, i) => byte !== whole[i]));
        return NO_WRAP;
      },
    });
    await kmsContract(() => padded)
      .find(({ name }) => name.startsWith('never unwraps changed bytes'))
      ?.run();
    expect(changed).toEqual(Array.from({ length: count }, (_, i) => i * step));
  });

  const lost = forgetful();

  it.each<[string, KmsContractOptions, string]>([
    [
      'reports unreadable bytes during an outage',
      { openFailing: () => kms({ ...refuse('KmsUnavailable'), unwrap: async () => NO_WRAP }) },
      'rejects with KmsUnavailable, KmsThrottled or KmsMisconfigured if its service does not answer',
    ],
    [
      'quotes a wrap in the cause of an error',
      {
        openFailing: () =>
          kms({
            ...refuse('KmsUnavailable'),
            unwrap: async (wrapped) => {
              const cause = new Error(`POST ${Buffer.from(wrapped).toString('hex')}`);
              throw new KeyfoldError('KmsUnavailable', 'No.', { cause });
            },
          }),
      },
      'rejects with KmsUnavailable, KmsThrottled or KmsMisconfigured if its service does not answer',
    ],
    [
      'reports unreadable bytes if it lacks a permission',
      { openRefused: () => kms({ ...refuse('KmsMisconfigured'), unwrap: async () => NO_WRAP }) },
      'rejects with KmsMisconfigured if its service refuses it',
    ],
    [
      'asks callers to retry if it lacks a permission',
      { openRefused: () => kms(refuse('KmsUnavailable')) },
      'rejects with KmsMisconfigured if its service refuses it',
    ],
    [
      'asks callers to retry a wrap if it lacks a permission',
      { openRefused: () => kms({ ...refuse('KmsMisconfigured'), wrap: refuse('KmsUnavailable').wrap }) },
      'rejects with KmsMisconfigured if its service refuses it',
    ],
    [
      'asks callers to retry an unwrap if it lacks a permission',
      { openRefused: () => kms({ ...refuse('KmsMisconfigured'), unwrap: refuse('KmsThrottled').unwrap }) },
      'rejects with KmsMisconfigured if its service refuses it',
    ],
    [
      'quotes a key in an error',
      {
        openFailing: () =>
          kms({
            ...refuse('KmsUnavailable'),
            wrap: async (key) => {
              throw new KeyfoldError('KmsUnavailable', `POST ${Buffer.from(key).toString('base64url')}`);
            },
          }),
      },
      'rejects with KmsUnavailable, KmsThrottled or KmsMisconfigured if its service does not answer',
    ],
    [
      'cannot open a wrap by an earlier key',
      { rotate: lost.rotate },
      'unwraps a System Key that an earlier version of its key wrapped',
    ],
  ])('fails for a KMS that %s', async (_name, options, failure) => {
    const open = options.rotate === undefined ? () => sound : lost.open;
    expect(await failuresOf(kmsContract(open, options))).toEqual([failure]);
  });

  it.each<[string, boolean, boolean]>([
    ['cannot open its earlier wraps after a key rotation', true, false],
    ['makes wraps that no other process can open after a key rotation', false, true],
  ])('fails for a KMS that %s', async (_name, forgets, isAlone) => {
    let version = 0;
    const open = (): KeyManagementService => {
      const made = version;
      const own = isAlone && made > 0 ? new StaticKms(crypto.getRandomValues(new Uint8Array(32)), {}) : sound;
      return kms({
        wrap: (key) => own.wrap(key),
        unwrap: async (wrapped) => {
          if (forgets && made !== version) return NO_WRAP;
          const unwrapped = await own.unwrap(wrapped);
          return 'key' in unwrapped ? unwrapped : sound.unwrap(wrapped);
        },
      });
    };
    expect(await failuresOf(kmsContract(open, { rotate: () => void (version += 1) }))).toEqual([
      'unwraps a System Key that an earlier version of its key wrapped',
    ]);
  });

  it.each(['KmsUnavailable', 'KmsThrottled', 'KmsMisconfigured'] as const)(
    'passes with every option for a sound KMS whose outage causes %s, and gives each call a deadline',
    async (code) => {
      const options: KmsContractOptions = {
        openFailing: strictly(() => kms(refuse(code))),
        openHanging: strictly(() => kms({ wrap: hang, unwrap: hang })),
        openRefused: strictly(() => kms(refuse('KmsMisconfigured'))),
        rotate: () => {},
      };
      const cases = kmsContract(
        strictly(() => sound),
        options,
      );
      expect(await failuresOf(cases)).toEqual([]);
      expect(cases.map(({ name }) => name)).toEqual([
        'unwraps a System Key that another process wrapped',
        'leaves the given key unchanged and keeps no reference to it',
        'reads only the bytes of a view, and leaves the given wrap unchanged',
        'does not show the key in its wrap',
        'returns new bytes from each unwrap, so that the caller can zero them',
        'returns the reason for bytes that it can never unwrap',
        'never unwraps changed bytes to another key, wherever they are changed',
        'unwraps 100 keys concurrently, each to its own bytes',
        'gives the same basis for the proof of a row with each unwrap as with the wrap, or none at all',
        'answers a call under an aborted deadline, or rejects with the reason of its signal',
        'serves a whole process with one wrap or one unwrap, for any number of partitions',
        'unwraps a System Key that an earlier version of its key wrapped',
        'rejects with KmsUnavailable, KmsThrottled or KmsMisconfigured if its service does not answer',
        'rejects with KmsMisconfigured if its service refuses it',
        'rejects with the reason of the signal if the deadline passes while its service does not answer',
      ]);
    },
  );

  it('passes for a KMS that has a basis for row proofs, rejects an unknown key or corrects changed bytes', async () => {
    expect(
      await failuresOf(
        kmsContract(() =>
          proving(
            () => basisOf({}),
            () => basisOf({}),
          ),
        ),
      ),
    ).toEqual([]);
    // A service may reject a wrap whose name of the key was changed.
    const naming = framed((wrapped) => {
      if (wrapped.length === 62 && wrapped[0] !== 87) throw new KeyfoldError('KmsMisconfigured', 'No such key.');
      return NO_WRAP;
    });
    expect(await failuresOf(kmsContract(() => naming))).toEqual([]);
    const known = new Map<string, Buffer>();
    const correcting = kms({
      wrap: async (key) => {
        const wrapped = Buffer.alloc(90, crypto.getRandomValues(new Uint8Array(30)));
        known.set(wrapped.toString('hex', 0, 30), Buffer.from(key));
        return wrapped;
      },
      // Each byte has three copies. A byte that differs from two others is corrected.
      unwrap: async (wrapped) => {
        if (wrapped.length !== 90) return NO_WRAP;
        const [a, b, c] = [0, 30, 60].map((at) => wrapped.subarray(at, at + 30)) as [
          Uint8Array,
          Uint8Array,
          Uint8Array,
        ];
        const voted = Buffer.from(a.map((byte, i) => (byte === b[i] ? byte : (c[i] ?? 0))));
        const key = known.get(voted.toString('hex'));
        return key === undefined ? NO_WRAP : { key: Buffer.from(key) };
      },
    });
    expect(await failuresOf(kmsContract(() => correcting))).toEqual([]);
  });
});

describe('wrapRenewerContract', () => {
  type Renewer = KeyManagementService & WrapRenewer;
  const STATE = { region: 'here', opens: true, renewed: false };
  /** Renews no wrap, and reports the state of the only region. */
  const renew: Renewer['renew'] = async (wrapped) => {
    const unwrapped = await sound.unwrap(wrapped);
    if ('key' in unwrapped) return { regions: [STATE], renewed: undefined };
    return { regions: [], renewed: undefined, unreadable: unwrapped.unreadable };
  };
  const renewer = (changes: Partial<Renewer> = {}): Renewer => ({ ...kms({}), renew, ...changes });
  const fault = { ...STATE, opens: false, fault: 'down' };
  /** Another key under the same master key. */
  const OTHER = Buffer.from(seal(createSecretKey(MASTER), Buffer.alloc(32)));
  const made = new Set<string>();

  it('passes for a KMS that renews no wrap, and for a KMS that renews each wrap once', async () => {
    const openFailing = strictly(() => renewer({ renew: async () => ({ regions: [fault], renewed: undefined }) }));
    const options = { openFailing, openRefused: openFailing, rotate: () => {} };
    expect(await failuresOf(wrapRenewerContract(() => renewer(), options))).toEqual([]);
    const current = new Set<string>();
    const once = renewer({
      renew: async (wrapped) => {
        const unwrapped = await sound.unwrap(wrapped);
        if (!('key' in unwrapped) || current.has(String(wrapped))) return renew(wrapped, noDeadline());
        const renewed = await sound.wrap(unwrapped.key);
        current.add(String(renewed));
        return { regions: [{ ...STATE, renewed: true }], renewed };
      },
    });
    const all = { ...options, openHanging: strictly(() => renewer({ renew: hang })) };
    const cases = wrapRenewerContract(
      strictly(() => once),
      all,
    );
    expect(await failuresOf(cases)).toEqual([]);
    expect(cases.map(({ name }) => name)).toEqual([
      'reports that it opens a wrap, and renews it to one that opens to the same key',
      'renews a wrap of an earlier version of its key',
      'reports why bytes are not a wrap, and makes no wrap of them',
      'never renews changed bytes to a wrap of another key',
      'answers a call under an aborted deadline, or rejects with the reason of its signal',
      'reports a fault, and makes no wrap, if its service does not answer',
      'reports a fault, and makes no wrap, if its service refuses it',
      'rejects with the reason of the signal if the deadline passes while its service does not answer',
    ]);
  });

  it.each<[string, Partial<Renewer>, string]>([
    ['reports no region', { renew: async () => ({ regions: [], renewed: undefined }) }, 'reports that it opens a wrap'],
    [
      'reports one region twice',
      { renew: async () => ({ regions: [STATE, STATE], renewed: undefined }) },
      'reports that it opens a wrap',
    ],
    [
      'does not open a wrap of its own',
      { renew: async () => ({ regions: [fault], renewed: undefined }) },
      'reports that it opens a wrap',
    ],
    [
      'renews a wrap in every run',
      {
        renew: async (wrapped) => {
          const unwrapped = await sound.unwrap(wrapped);
          const renewed = await sound.wrap('key' in unwrapped ? unwrapped.key : Buffer.alloc(32));
          return { regions: [{ ...STATE, renewed: true }], renewed };
        },
      },
      'reports that it opens a wrap',
    ],
    [
      'renews a wrap to a wrap of another key',
      { renew: async () => ({ regions: [{ ...STATE, renewed: true }], renewed: await sound.wrap(Buffer.alloc(32)) }) },
      'never renews changed bytes',
    ],
    [
      'says that it renews a wrap, but returns none',
      { renew: async () => ({ regions: [{ ...STATE, renewed: true }], renewed: undefined }) },
      'reports that it opens a wrap',
    ],
    [
      'shows a key as the name of a region',
      {
        renew: async (wrapped) => {
          const unwrapped = await sound.unwrap(wrapped);
          const region = 'key' in unwrapped ? unwrapped.key.toString('hex') : '';
          return { regions: [{ ...STATE, region }], renewed: undefined };
        },
      },
      'reports that it opens a wrap',
    ],
    [
      'changes the bytes of the given wrap',
      { renew: async (wrapped) => renew(wrapped, noDeadline()).finally(() => wrapped.fill(0)) },
      'reports that it opens a wrap',
    ],
    [
      'makes no difference between a foreign wrap and an outage',
      { renew: async () => ({ regions: [fault], renewed: undefined }) },
      'reports why bytes are not a wrap',
    ],
    [
      'names no region',
      { renew: async () => ({ regions: [{ ...STATE, region: '' }], renewed: undefined }) },
      'reports that it opens a wrap',
    ],
    [
      'calls a wrap of its own unreadable',
      { renew: async () => ({ regions: [STATE], renewed: undefined, ...NO_WRAP }) },
      'reports that it opens a wrap',
    ],
    [
      'does not open a wrap of its own in one of two regions',
      { renew: async () => ({ regions: [STATE, { ...fault, region: 'there' }], renewed: undefined }) },
      'reports that it opens a wrap',
    ],
    ...[true, false].map((renewed): [string, Partial<Renewer>, string] => [
      `renews a wrap to a wrap of another key, and reports ${renewed}`,
      {
        renew: async (wrapped) =>
          (wrapped as Buffer).equals(OTHER)
            ? { regions: [STATE], renewed: undefined }
            : { regions: [{ ...STATE, renewed }], renewed: OTHER },
      },
      'reports that it opens a wrap',
    ]),
    [
      'does not say that it renews a wrap',
      {
        renew: async (wrapped) => {
          const unwrapped = await sound.unwrap(wrapped);
          if (!('key' in unwrapped) || made.has(String(wrapped))) return { regions: [STATE], renewed: undefined };
          const renewed = await sound.wrap(unwrapped.key);
          made.add(String(renewed));
          return { regions: [STATE], renewed };
        },
      },
      'reports that it opens a wrap',
    ],
    ...(
      [
        ['reports regions', { regions: [fault], renewed: undefined, ...NO_WRAP }],
        ['makes a wrap', { regions: [], renewed: OTHER, ...NO_WRAP }],
        ['gives no reason', { regions: [], renewed: undefined }],
        ['gives an empty reason', { regions: [], renewed: undefined, unreadable: '' }],
      ] as const
    ).map(([what, report]): [string, Partial<Renewer>, string] => [
      `${what} for foreign bytes`,
      { renew: async () => report },
      'reports why bytes are not a wrap',
    ]),
    [
      'rejects a call with an error of its own if it is aborted while it runs',
      {
        renew: async (wrapped, { signal }) => {
          if (signal.aborted) throw signal.reason;
          await new Promise((resolve) => void setTimeout(resolve));
          if (signal.aborted) throw new Error('aborted');
          return renew(wrapped, noDeadline());
        },
      },
      'under an aborted deadline',
    ],
    [
      'rejects an aborted call with an error of its own',
      {
        renew: async (wrapped, { signal }) => {
          if (signal.aborted) throw new Error('aborted');
          return renew(wrapped, noDeadline());
        },
      },
      'under an aborted deadline',
    ],
  ])('fails for a KMS that %s', async (_name, changes, failure) => {
    expect(
      await failsIn(
        wrapRenewerContract(() => renewer(changes)),
        failure,
      ),
    ).toBe(true);
  });

  it.each<[string, Renewer['renew']]>([
    ['rejects', () => Promise.reject(new KeyfoldError('KmsUnavailable', 'Down.'))],
    ['reports no reason', async () => ({ regions: [{ ...STATE, opens: false }], renewed: undefined })],
    ['reports an empty reason', async () => ({ regions: [{ ...fault, fault: '' }], renewed: undefined })],
    ['reports no region', async () => ({ regions: [], renewed: undefined })],
    ['opens a wrap', async () => ({ regions: [fault, { ...fault, region: 'b', opens: true }], renewed: undefined })],
    ['makes a wrap', async () => ({ regions: [{ ...fault, renewed: true }], renewed: OTHER })],
    ['calls a wrap unreadable', async () => ({ regions: [fault], renewed: undefined, ...NO_WRAP })],
    [
      'shows a wrap',
      async (wrapped) => ({
        regions: [{ ...fault, fault: `POST ${Buffer.from(wrapped).toString('hex')}` }],
        renewed: undefined,
      }),
    ],
    [
      'shows a key',
      async (wrapped) => {
        const unwrapped = await sound.unwrap(wrapped);
        const said = 'key' in unwrapped ? unwrapped.key.toString('base64') : 'down';
        return { regions: [{ ...fault, fault: said }], renewed: undefined };
      },
    ],
  ])('fails for a KMS whose renew() %s if its service is down or refuses the KMS', async (_name, change) => {
    const opened = (): Renewer => renewer({ renew: change });
    const cases = wrapRenewerContract(() => renewer(), { openFailing: opened, openRefused: opened });
    expect(await failsIn(cases, 'if its service does not answer')).toBe(true);
    expect(await failsIn(cases, 'if its service refuses it')).toBe(true);
  });

  it('fails for a KMS that returns a report, instead of throwing, if the deadline passes before its service answers', async () => {
    const report = { regions: [fault], renewed: undefined };
    const openHanging = (): Renewer => renewer({ renew: async () => report });
    expect(
      await failsIn(
        wrapRenewerContract(() => renewer(), { openHanging }),
        'does not answer',
      ),
    ).toBe(true);
  });

  it('changes only every eighth byte of a wrap, one at a time, because each call of renew() may cost money', async () => {
    let whole: Uint8Array = Buffer.alloc(0);
    const changed: number[] = [];
    const open = (): Renewer =>
      renewer({
        wrap: async (key) => (whole = await sound.wrap(key)),
        renew: async (wrapped) => {
          changed.push(wrapped.findIndex((byte, i) => byte !== whole[i]));
          return renew(wrapped, noDeadline());
        },
      });
    await wrapRenewerContract(open)
      .find(({ name }) => name.startsWith('never renews changed bytes'))
      ?.run();
    expect(changed).toEqual([0, 8, 16, 24, 32, 40, 48, 56]);
  });

  it('fails for a KMS whose new wrap opens only in the process that made it', async () => {
    const all = new Set<string>();
    const open = (): Renewer => {
      const own = new Set<string>();
      return renewer({
        unwrap: async (wrapped) => {
          const name = String(wrapped);
          return all.has(name) && !own.has(name) ? NO_WRAP : sound.unwrap(wrapped);
        },
        renew: async (wrapped) => {
          const unwrapped = await sound.unwrap(wrapped);
          if (!('key' in unwrapped) || all.has(String(wrapped))) return renew(wrapped, noDeadline());
          const renewed = await sound.wrap(unwrapped.key);
          for (const names of [all, own]) names.add(String(renewed));
          return { regions: [{ ...STATE, renewed: true }], renewed };
        },
      });
    };
    expect(await failuresOf(wrapRenewerContract(open))).toEqual([
      'reports that it opens a wrap, and renews it to one that opens to the same key',
    ]);
  });

  it('fails for a KMS whose renew() does not open a wrap by an earlier key', async () => {
    let isRotated = false;
    const open = (): Renewer =>
      renewer({
        renew: async (wrapped) => (isRotated ? { regions: [fault], renewed: undefined } : renew(wrapped, noDeadline())),
      });
    const cases = wrapRenewerContract(open, { rotate: () => void (isRotated = true) });
    expect(await failuresOf(cases)).toContain('renews a wrap of an earlier version of its key');
  });
});
