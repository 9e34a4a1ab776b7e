/** Tests that each case of the KMS contracts fails for a KMS that breaks it. */
import { describe, expect, it } from 'vitest';
import {
  KeyfoldError,
  StaticKms,
  type Deadline,
  type KeyManagementService,
  type WrapRenewer,
} from '../../../src/index.ts';
import { kmsContract, noDeadline, wrapRenewerContract, type KmsContractOptions } from '../../../src/testing/index.ts';
import { failuresOf } from '../../support/contract/failures.ts';
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
function refuse(code: 'KmsUnavailable' | 'KmsMisconfigured') {
  const fail = () => Promise.reject(new KeyfoldError(code, 'No.'));
  return { wrap: fail, unwrap: fail };
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
    expect(await failuresOf(kmsContract(open))).toContainEqual(expect.stringContaining(failure));
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
  ])('says which call fails and what it does, if a KMS %s', async (_name, options, message, cause) => {
    const names = new Set(kmsContract(() => sound).map(({ name }) => name));
    const one = kmsContract(() => sound, options).find(({ name }) => !names.has(name));
    expect(await errorOf(one?.run() ?? Promise.resolve())).toMatchObject({ message, cause });
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
      'ignores the deadline while it waits',
      { openHanging: () => kms({ unwrap: () => new Promise(() => {}) }) },
      'rejects with the reason of the signal if the deadline passes while its service does not answer',
    ],
    [
      'cannot open what an earlier key wrapped',
      { rotate: lost.rotate },
      'unwraps a System Key that an earlier version of its key wrapped',
    ],
  ])('fails for a KMS that %s', async (_name, options, failure) => {
    const open = options.rotate === undefined ? () => sound : lost.open;
    expect(await failuresOf(kmsContract(open, options))).toEqual([failure]);
  });

  it('passes for a sound KMS with every option', async () => {
    const options: KmsContractOptions = {
      openFailing: () => kms(refuse('KmsUnavailable')),
      openHanging: () => kms({ wrap: hang, unwrap: hang }),
      openRefused: () => kms(refuse('KmsMisconfigured')),
      rotate: () => {},
    };
    expect(await failuresOf(kmsContract(() => sound, options))).toEqual([]);
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

  it('passes for a KMS that renews no wrap or each wrap once', async () => {
    const openFailing = (): Renewer => renewer({ renew: async () => ({ regions: [fault], renewed: undefined }) });
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
    expect(await failuresOf(wrapRenewerContract(() => once, options))).toEqual([]);
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
    const failures = await failuresOf(wrapRenewerContract(() => renewer(changes)));
    expect(failures).toContainEqual(expect.stringContaining(failure));
  });

  it.each<[string, KmsContractOptions<Renewer>, string]>([
    [
      'rejects during an outage',
      { openFailing: () => renewer({ renew: () => Promise.reject(new KeyfoldError('KmsUnavailable', 'Down.')) }) },
      'reports a fault, and makes no wrap, if its service does not answer',
    ],
    [
      'reports no reason during an outage',
      {
        openFailing: () =>
          renewer({ renew: async () => ({ regions: [{ ...STATE, opens: false }], renewed: undefined }) }),
      },
      'reports a fault, and makes no wrap, if its service does not answer',
    ],
    [
      'shows a wrap in its fault during an outage',
      {
        openFailing: () =>
          renewer({
            renew: async (wrapped) => ({
              regions: [{ ...fault, fault: `POST ${Buffer.from(wrapped).toString('hex')}` }],
              renewed: undefined,
            }),
          }),
      },
      'reports a fault, and makes no wrap, if its service does not answer',
    ],
    [
      'calls a wrap unreadable if its service refuses it',
      { openRefused: () => renewer({ renew: async () => ({ regions: [fault], renewed: undefined, ...NO_WRAP }) }) },
      'reports a fault, and makes no wrap, if its service refuses it',
    ],
    [
      'ignores the deadline while it waits',
      { openHanging: () => renewer({ renew: () => new Promise(() => {}) }) },
      'rejects with the reason of the signal if the deadline passes while its service does not answer',
    ],
  ])('fails for a KMS that %s', async (_name, options, failure) => {
    expect(await failuresOf(wrapRenewerContract(() => renewer(), options))).toEqual([failure]);
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

  it('fails for a KMS that does not open a wrap of an earlier key in a renewal', async () => {
    let isRotated = false;
    const open = (): Renewer =>
      renewer({
        renew: async (wrapped) => (isRotated ? { regions: [fault], renewed: undefined } : renew(wrapped, noDeadline())),
      });
    const cases = wrapRenewerContract(open, { rotate: () => void (isRotated = true) });
    expect(await failuresOf(cases)).toContain('renews a wrap of an earlier version of its key');
  });
});
