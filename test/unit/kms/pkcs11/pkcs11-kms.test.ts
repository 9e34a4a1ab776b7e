import { writeFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { Worker } from 'node:worker_threads';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KeyfoldError, MemoryMetastore, SessionFactory, type Attempt } from '../../../../src/index.ts';
import { Pkcs11Kms, type Pkcs11KmsOptions } from '../../../../src/kms/pkcs11/index.ts';
import { pinIn } from '../../../../src/kms/pkcs11/pin-file.ts';
import { checkedPkcs11Options } from '../../../../src/kms/pkcs11/pkcs11-options.ts';
import type { TokenAnswer, TokenCall } from '../../../../src/kms/pkcs11/pkcs11-token.ts';
import { kmsContract, wrapRenewerContract } from '../../../../src/testing/index.ts';
import { runContract } from '../../../support/contract/bind.ts';
import { codeOf, errorOf, noDeadline } from '../../../support/fakes.ts';
import { FAKE_DRIVER_PATH, FakeToken, GCM, KEY_WRAP_PAD } from '../../../support/fake-hsm/fake-token.ts';
import { keyOf } from '../../../support/kms.ts';

const KEY = Buffer.alloc(32, 9);
let token: FakeToken;

beforeEach(() => {
  process.env['NODE_PATH'] = FAKE_DRIVER_PATH;
  token = new FakeToken();
});
afterEach(() => token.remove());

const wrap = (kms: Pkcs11Kms): Promise<Uint8Array> => kms.wrap(KEY, noDeadline());
const textOf = async (kms: Pkcs11Kms): Promise<string> => Buffer.from(await wrap(kms)).toString();
const unwrap = (kms: Pkcs11Kms, wrapped: Uint8Array): Promise<unknown> => keyOf(kms.unwrap(wrapped, noDeadline()));
const faultOf = (kms: Pkcs11Kms): unknown => kms.regionStates()[0]?.lastFault;
const count = (calls: readonly string[], name: string): number => calls.filter((call) => call === name).length;

describe.each(['CKM_AES_GCM', 'CKM_AES_KEY_WRAP_PAD'] as const)('Pkcs11Kms with the mechanism %s', (mechanism) => {
  let keyLabels = ['keyfold'];
  const open = (): Pkcs11Kms => token.open({ mechanism, keyLabels });
  const faults = {
    openFailing: () => token.open({ mechanism, keyLabels, tokenLabel: 'absent' }),
    openHanging: () => {
      token.set({ faults: { C_OpenSession: 1500 } });
      token.loseSessions();
      return open();
    },
    openRefused: () => token.open({ mechanism, keyLabels: ['absent'] }),
    rotate: () => void (keyLabels = ['older key', 'keyfold']),
  };
  runContract('Pkcs11Kms as a KMS', kmsContract(open, faults));
  runContract('Pkcs11Kms as a renewer of wraps', wrapRenewerContract(open, faults));

  it('wraps a key as it was at the time of the call, even if the caller zeroes it before the second attempt', async () => {
    token.set({ faults: { C_OpenSession: 'CKR_DEVICE_ERROR' } });
    const kms = token.open({ mechanism }, { sleep: async () => token.set({ faults: {} }) });
    const key = Buffer.from(KEY);
    const wrapping = kms.wrap(key, noDeadline());
    key.fill(0);
    expect(await unwrap(kms, await wrapping)).toEqual(KEY);
  });

  it('reports changed bytes as unreadable for every error code that the library may return', async () => {
    const kms = token.open({ mechanism });
    const [, , , base64 = ''] = (await textOf(kms)).split(':');
    const bytes = Buffer.from(base64, 'base64');
    bytes[20] = (bytes[20] ?? 0) ^ 1;
    const changed = Buffer.from(
      `pkcs11:${mechanism === 'CKM_AES_GCM' ? 'gcm' : 'kwp'}:keyfold:${bytes.toString('base64')}`,
    );
    const codes = [
      'CKR_GENERAL_ERROR',
      'CKR_ENCRYPTED_DATA_INVALID',
      'CKR_WRAPPED_KEY_INVALID',
      'CKR_FUNCTION_FAILED',
      'CKR_VENDOR_DEFINED',
      'CKR_AEAD_DECRYPT_FAILED',
    ];
    for (const corrupt of codes) {
      token.set({ corrupt });
      expect(await unwrap(kms, changed)).toEqual({ unreadable: 'the key of the token does not open it' });
    }
    expect(count(token.takeCalls(), 'C_Login')).toBe(1);
  });
});

it('a call without a valid deadline is refused before it reaches the token', async () => {
  const kms = token.open();
  const wrapped = await wrap(kms);
  token.takeCalls();
  const none = {} as never;
  for (const call of [() => kms.wrap(KEY, none), () => kms.unwrap(wrapped, none), () => kms.renew(wrapped, none)])
    await expect(call()).rejects.toThrow(/^deadline must be a deadline/);
  expect(token.takeCalls()).toEqual([]);
});

describe('the mechanism of a wrap', () => {
  it.each([
    ['CKM_AES_GCM', 'both mechanisms', [GCM, KEY_WRAP_PAD], /^pkcs11:gcm:keyfold:[A-Za-z0-9+/]{80}$/],
    ['CKM_AES_KEY_WRAP_PAD', 'no other mechanism', [KEY_WRAP_PAD], /^pkcs11:kwp:keyfold:[A-Za-z0-9+/]{54}==$/],
  ])('is %s by default if the token supports %s', async (_mechanism, _label, mechanisms, form) => {
    token.set({ mechanisms });
    expect(await textOf(token.open())).toMatch(form);
  });

  it('is used to unwrap the wrap, even if new wraps use another mechanism', async () => {
    const wrapped = await wrap(token.open({ mechanism: 'CKM_AES_KEY_WRAP_PAD' }));
    const kms = token.open({ mechanism: 'CKM_AES_GCM' });
    expect(await unwrap(kms, wrapped)).toEqual(KEY);
    expect(await textOf(kms)).toMatch(/^pkcs11:gcm:/);
  });

  it.for([
    ['supports neither mechanism', undefined, []],
    ['lacks the mechanism in the options', 'CKM_AES_GCM', [KEY_WRAP_PAD]],
  ] as const)('causes KmsMisconfigured if the token %s', async ([, mechanism, mechanisms]) => {
    token.set({ mechanisms });
    const kms = token.open({ mechanism });
    expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
    expect(faultOf(kms)).toMatchObject({ errorName: 'MechanismNotFound' });
  });

  it.for([
    ['only encrypts with CKM_AES_GCM', { [GCM]: 0x100 }, 'kwp'],
    ['only decrypts with CKM_AES_GCM', { [GCM]: 0x200 }, 'kwp'],
    ['only wraps with CKM_AES_KEY_WRAP_PAD', { [KEY_WRAP_PAD]: 0x2_0000 }, 'gcm'],
  ] as const)('is the other mechanism if the token %s', async ([, flags, form]) => {
    const mechanisms = form === 'gcm' ? [KEY_WRAP_PAD, GCM] : [GCM, KEY_WRAP_PAD];
    token.set({ mechanisms, flags });
    expect(await textOf(token.open())).toMatch(new RegExp(`^pkcs11:${form}:`));
  });

  it.for([
    ['wraps', 0x2_0000],
    ['unwraps', 0x4_0000],
  ] as const)('causes KmsMisconfigured if the token only %s with CKM_AES_KEY_WRAP_PAD', async ([, flags]) => {
    token.set({ mechanisms: [KEY_WRAP_PAD], flags: { [KEY_WRAP_PAD]: flags } });
    const kms = token.open();
    expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
    expect(faultOf(kms)).toMatchObject({ errorName: 'MechanismNotFound' });
  });

  it.for([
    ['ignores the nonce', { ignoresNonce: true }],
    ['decrypts the wrap to another key', { opened: [...Buffer.alloc(32, 8)] }],
    ['decrypts the wrap to a part of the key', { opened: [...KEY.subarray(1)] }],
  ] as const)('causes KmsMisconfigured if the token %s', async ([, changes]) => {
    token.set(changes);
    const kms = token.open();
    expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
    expect(faultOf(kms)).toMatchObject({ errorName: 'WrapDoesNotOpen' });
  });

  it('leaves no System Key in the token, even if the token fails (CKM_AES_KEY_WRAP_PAD)', async () => {
    const kms = token.open({ mechanism: 'CKM_AES_KEY_WRAP_PAD' });
    await unwrap(kms, await wrap(kms));
    const calls = token.takeCalls();
    expect(count(calls, 'C_UnwrapKey')).toBeGreaterThan(0);
    const made = count(calls, 'C_CreateObject') + count(calls, 'C_UnwrapKey');
    expect(count(calls, 'C_DestroyObject')).toBe(made);
    token.set({ faults: { C_WrapKey: 'CKR_ARGUMENTS_BAD' } });
    await errorOf(wrap(kms));
    const failed = token.takeCalls();
    expect(count(failed, 'C_CreateObject')).toBeGreaterThan(0);
    expect(count(failed, 'C_DestroyObject')).toBe(count(failed, 'C_CreateObject'));
  });

  it.for(['CKM_AES_GCM', 'CKM_AES_KEY_WRAP_PAD'] as const)(
    'leaves no copy of a System Key in the thread that calls the PKCS #11 library (%s)',
    async (mechanism) => {
      const kms = token.open({ mechanism });
      const wrapped = await wrap(kms);
      await unwrap(kms, wrapped);
      token.loseSessions();
      await unwrap(kms, wrapped);
      const calls = token.takeCalls();
      expect(count(calls, 'C_Finalize')).toBe(1);
      expect(calls).not.toContain('left a key');
    },
  );

  it('sends only the bytes of a key to the thread that calls the library, and not the memory around them', async () => {
    const post = vi.spyOn(Worker.prototype, 'postMessage');
    const kms = token.open();
    await unwrap(kms, await wrap(kms));
    const calls = post.mock.calls.map(([message]) => (message as { readonly call: TokenCall }).call);
    vi.restoreAllMocks();
    const sizes = calls.flatMap((call) => {
      if (call.op === 'connect') return [];
      return [call.op === 'wrap' ? call.key.buffer.byteLength : call.bytes.buffer.byteLength];
    });
    expect(sizes).toEqual([32, 32, 60]);
  });

  it('leaves no copy of a System Key in the main thread', async () => {
    const copies: Uint8Array[] = [];
    const real = Uint8Array.from.bind(Uint8Array);
    const from = vi.spyOn(Uint8Array, 'from').mockImplementation(((bytes: Uint8Array) => {
      const copy = real(bytes);
      if (KEY.equals(copy)) copies.push(copy);
      return copy;
    }) as never);
    await wrap(token.open());
    from.mockRestore();
    expect(copies.map((copy) => Buffer.from(copy))).toEqual([Buffer.alloc(KEY.length)]);
  });

  it('uses a new nonce for each wrap (CKM_AES_GCM)', async () => {
    const kms = token.open();
    expect(await textOf(kms)).not.toBe(await textOf(kms));
  });
});

describe('keyLabels', () => {
  it('are looked up only once in a session', async () => {
    const kms = token.open();
    await unwrap(kms, await wrap(kms));
    expect(count(token.takeCalls(), 'C_FindObjectsInit')).toBe(1);
  });

  it('names the key that wraps, followed by keys that only unwrap', async () => {
    const old = await wrap(token.open({ keyLabels: ['older key'] }));
    expect(Buffer.from(old).toString()).toMatch(/^pkcs11:gcm:older%20key:/);
    const kms = token.open({ keyLabels: ['keyfold', 'older key'] });
    expect(await unwrap(kms, old)).toEqual(KEY);
    expect(await textOf(kms)).toMatch(/^pkcs11:gcm:keyfold:/);
  });

  it('does not let Pkcs11Kms unwrap with a key that is not in the list', async () => {
    const wrapped = await wrap(token.open({ keyLabels: ['older key'] }));
    token.takeCalls();
    const error = await errorOf(unwrap(token.open(), wrapped));
    const message = 'The key that wraps this System Key is not in keyLabels.';
    expect(error).toMatchObject({ code: 'KmsMisconfigured', message });
    expect(token.takeCalls()).toEqual([]);
  });

  it.each([
    ['KeyNotFound', 'no key with this label', []],
    ['LabelOfTwoKeys', 'two keys with one label', [{ label: 'keyfold' }, { label: 'keyfold' }]],
    ['KeyExtractable', 'an extractable key', [{ label: 'keyfold', extractable: true }]],
    ['KeyTooShort', 'a key of 128 bits', [{ label: 'keyfold', bits: 128 }]],
  ])('lead to the error %s if the token has %s', async (errorName, _label, keys) => {
    token.set({ keys });
    const kms = token.open();
    expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
    expect(faultOf(kms)).toMatchObject({ errorName });
  });
});

describe('the login', () => {
  it('happens once per process, even for a hundred concurrent requests', async () => {
    const metastore = new MemoryMetastore();
    let pins = 0;
    const pin = (): string => {
      pins += 1;
      return '1234';
    };
    const start = (): SessionFactory =>
      new SessionFactory({ service: 'svc', product: 'prod', metastore, kms: token.open({ pin }) });
    const record = await start().session('tenant').encrypt(KEY);
    expect([count(token.takeCalls(), 'C_Login'), pins]).toEqual([1, 1]);
    const keyfold = start();
    const opened = Array.from({ length: 100 }, () => keyfold.session('tenant').decrypt(record));
    expect(new Set((await Promise.all(opened)).map(String))).toEqual(new Set([String(KEY)]));
    const calls = token.takeCalls();
    expect([count(calls, 'C_Decrypt'), count(calls, 'C_Login'), pins]).toEqual([1, 0, 1]);
  });

  it('happens once for all instances of Pkcs11Kms, and each of them asks for the PIN once', async () => {
    let pins = 0;
    const pin = (): string => {
      pins += 1;
      return '1234';
    };
    const instances = [token.open({ pin }), token.open({ pin })];
    await Promise.all(instances.flatMap((kms) => [wrap(kms), wrap(kms), wrap(kms)]));
    expect([count(token.takeCalls(), 'C_Login'), pins]).toEqual([1, 2]);
  });

  it('still tries a PIN with other tokens after one token has refused that PIN', async () => {
    const newPin = { pin: () => 'new' };
    expect(await codeOf(wrap(token.open({ ...newPin, tokenLabel: 'other' })))).toBe('KmsMisconfigured');
    token.set({ pin: 'new' });
    const kms = token.open(newPin);
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
    expect(await codeOf(wrap(token.open({ ...newPin, tokenLabel: 'other' })))).toBe('KmsMisconfigured');
  });

  it('tries a refused PIN again after the token has accepted another PIN', async () => {
    let pin = 'new';
    const kms = token.open({ pin: () => pin });
    expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
    pin = '1234';
    await wrap(kms);
    token.set({ pin: 'new' });
    token.loseSessions();
    pin = 'new';
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
  });

  it('fails with KmsUnavailable if the PIN function does not respond in time', async () => {
    await wrap(token.open());
    token.loseSessions();
    const kms = token.open({ pin: () => new Promise(() => {}), requestTimeoutMs: 300 });
    const first = codeOf(wrap(kms));
    await sleep(100);
    // This call joins the login of the first one, which ends before the time of this call is up.
    const second = codeOf(wrap(kms));
    expect(await Promise.all([first, second])).toEqual(['KmsUnavailable', 'KmsUnavailable']);
    expect(faultOf(kms)).toMatchObject({ faultClass: 'unavailable', errorName: 'NoAnswerInTime' });
  });

  it('does not repeat a PIN that the token has refused', async () => {
    let pin = 'wrong';
    const kms = token.open({ pin: async () => pin });
    for (let i = 0; i < 3; i += 1) expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
    expect(faultOf(kms)).toMatchObject({ errorName: 'CKR_PIN_INCORRECT' });
    expect(count(token.takeCalls(), 'C_Login')).toBe(1);
    pin = '1234';
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
    expect(count(token.takeCalls(), 'C_Login')).toBe(1);
  });

  it('does not repeat a PIN that the token refused after the timeout of the call, or refused for another instance', async () => {
    token.set({ faults: { C_Login: 400 } });
    const refused = { pin: () => 'wrong' };
    const hurried = token.open({ ...refused, requestTimeoutMs: 200 });
    // The code of this error depends on how fast the thread starts: the retries end with either the refusal or
    // timeouts.
    expect(await errorOf(wrap(hurried))).toBeInstanceOf(KeyfoldError);
    for (const kms of [token.open(refused), token.open(refused), hurried]) {
      expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
    }
    expect(count(token.takeCalls(), 'C_Login')).toBe(1);
  });

  it.each([
    ['throws', () => Promise.reject(new Error('no 1234'))],
    [
      'throws at once',
      () => {
        throw new Error('no 1234');
      },
    ],
    ['returns nothing', () => ''],
    ['returns a number', () => 1234 as never],
  ])(
    'fails with KmsMisconfigured if the PIN function %s, and does not show the error of the function',
    async (_, pin) => {
      const kms = token.open({ pin });
      const error = (await errorOf(wrap(kms))) as KeyfoldError;
      expect(error.code).toBe('KmsMisconfigured');
      expect(JSON.stringify([error.message, faultOf(kms)])).not.toContain('1234');
      expect(faultOf(kms)).toMatchObject({ errorName: 'NoPin' });
    },
  );

  it.for([{ code: 'ECONNRESET' }, { name: 'ExpiredTokenException' }])(
    'fails with KmsUnavailable if the PIN function fails temporarily with %j',
    async (about) => {
      const fault = Object.assign(new Error('no 1234'), about);
      const kms = token.open({ pin: () => Promise.reject(fault) });
      const error = (await errorOf(wrap(kms))) as KeyfoldError;
      expect(error.code).toBe('KmsUnavailable');
      expect(JSON.stringify([error.message, faultOf(kms)])).not.toContain('1234');
      expect(faultOf(kms)).toMatchObject({ errorName: 'NoPin' });
    },
  );

  it('reads the PIN file each time, and removes the white space around the PIN', async () => {
    const file = `${token.library}.pin`;
    const pin = pinIn(file);
    for (const found of ['1234', '5678']) {
      await writeFile(file, ` ${found}\n`);
      expect(await pin()).toBe(found);
    }
  });

  it('is repeated after the token was removed and inserted again', async () => {
    const kms = token.open();
    const wrapped = await wrap(kms);
    token.takeCalls();
    token.loseSessions();
    expect(await unwrap(kms, wrapped)).toEqual(KEY);
    const calls = token.takeCalls();
    expect([count(calls, 'C_Finalize'), count(calls, 'C_Initialize'), count(calls, 'C_Login')]).toEqual([1, 1, 1]);
    expect(faultOf(kms)).toBeUndefined();
  });

  it('succeeds if the library is already initialized and the process is already logged in to the token', async () => {
    token.set({ faults: { C_Initialize: 'CKR_CRYPTOKI_ALREADY_INITIALIZED', C_Login: 'CKR_USER_ALREADY_LOGGED_IN' } });
    const kms = token.open();
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
  });

  it('closes the session if the key is not suitable, so that no session is leaked', async () => {
    token.set({ keys: [] });
    expect(await codeOf(wrap(token.open()))).toBe('KmsMisconfigured');
    const calls = token.takeCalls();
    expect([count(calls, 'C_OpenSession'), count(calls, 'C_CloseSession')]).toEqual([1, 1]);
  });
});

describe('Pkcs11Kms', () => {
  it('reports each attempt to the listener in its options', async () => {
    const attempts: Attempt[] = [];
    const kms = token.open({ events: { attempted: (attempt) => void attempts.push(attempt) } });
    await unwrap(kms, await wrap(kms));
    expect(attempts).toMatchObject([
      { region: 'production', action: 'Encrypt' },
      { region: 'production', action: 'Decrypt' },
    ]);
  });

  it.each([
    ['KmsThrottled', 'C_OpenSession', 'CKR_SESSION_COUNT'],
    ['KmsThrottled', 'C_Encrypt', 'CKR_DEVICE_MEMORY'],
    ['KmsThrottled', 'C_Encrypt', 'CKR_TOKEN_RESOURCE_EXCEEDED'],
    ['KmsMisconfigured', 'C_Initialize', 'CKR_CANT_LOCK'],
    ['KmsMisconfigured', 'C_Initialize', 'CKR_NEED_TO_CREATE_THREADS'],
    ['KmsMisconfigured', 'C_EncryptInit', 'CKR_ACTION_PROHIBITED'],
    ['KmsMisconfigured', 'C_EncryptInit', 'CKR_SESSION_READ_ONLY'],
    ['KmsMisconfigured', 'C_EncryptInit', 'CKR_TOKEN_WRITE_PROTECTED'],
    ['KmsMisconfigured', 'C_Login', 'CKR_PIN_LOCKED'],
    ['KmsMisconfigured', 'C_Login', 'CKR_USER_PIN_NOT_INITIALIZED'],
    ['KmsMisconfigured', 'C_EncryptInit', 'CKR_KEY_FUNCTION_NOT_PERMITTED'],
    ['KmsMisconfigured', 'C_EncryptInit', 'CKR_MECHANISM_PARAM_INVALID'],
    ['KmsUnavailable', 'C_EncryptInit', 'CKR_KEY_HANDLE_INVALID'],
    ['KmsUnavailable', 'C_GetSlotList', 'CKR_DEVICE_REMOVED'],
    ['KmsUnavailable', 'C_Initialize', 'CKR_GENERAL_ERROR'],
    ['KmsUnavailable', 'C_Encrypt', 'CKR_DEVICE_ERROR'],
    ['KmsUnavailable', 'C_Encrypt', 'CKR_VENDOR_DEFINED'],
    ['KmsUnavailable', 'C_GetMechanismInfo', 'CKR_DEVICE_ERROR'],
    ['KmsUnavailable', 'C_Decrypt', 'CKR_DEVICE_REMOVED'],
  ])('throws %s if %s returns %s', async (expected, call, code) => {
    token.set({ faults: { [call]: code } });
    const kms = token.open();
    expect(await codeOf(wrap(kms))).toBe(expected);
    expect(faultOf(kms)).toMatchObject({ errorName: code });
    token.set({ faults: {} });
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
  });

  it.each(['CKR_DEVICE_ERROR', 'CKR_FUNCTION_FAILED', 'CKR_GENERAL_ERROR'])(
    'wraps and opens a key if the token returns %s only once',
    async (code) => {
      const kms = token.open();
      const wrapped = await wrap(kms);
      token.set({ faults: { C_Decrypt: [code] } });
      expect(await unwrap(kms, wrapped)).toEqual(KEY);
      token.set({ faults: { C_DecryptInit: [code] } });
      expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
    },
  );

  it('works if the token in another slot cannot be read, and names the fault of its own token', async () => {
    token.set({ broken: { other: 'CKR_TOKEN_NOT_RECOGNIZED' } });
    const kms = token.open();
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
    token.set({ broken: { production: 'CKR_DEVICE_ERROR' } });
    token.loseSessions();
    expect(await codeOf(wrap(kms))).toBe('KmsUnavailable');
    expect(faultOf(kms)).toMatchObject({ errorName: 'CKR_DEVICE_ERROR' });
  });

  it('does not finalize a library that it could not initialize', async () => {
    token.set({ faults: { C_Initialize: 'CKR_GENERAL_ERROR' } });
    expect(await codeOf(wrap(token.open()))).toBe('KmsUnavailable');
    const calls = token.takeCalls();
    expect([count(calls, 'C_Initialize'), count(calls, 'C_Finalize')]).toEqual([3, 0]);
  });

  it('tries a token three times, and waits at most a second before each retry', async () => {
    const sleeps: number[] = [];
    const attempts: Attempt[] = [];
    const events = { attempted: (attempt: Attempt): void => void attempts.push(attempt) };
    const waits = { random: () => 1 - 2 ** -53, sleep: async (ms: number) => void sleeps.push(ms) };
    token.set({ faults: { C_OpenSession: 'CKR_SESSION_COUNT' } });
    const error = await errorOf(wrap(token.open({ events }, waits)));
    const message = 'KMS throttles in every region: production throttled (CKR_SESSION_COUNT).';
    expect(error).toMatchObject({ code: 'KmsThrottled', message });
    expect(attempts).toHaveLength(3);
    expect(sleeps).toEqual([expect.closeTo(1000), expect.closeTo(840)]);
  });

  it('throws KmsMisconfigured if the library cannot be loaded, and loads the library again for the next call', async () => {
    token.set({ faults: { load: '/opt/hsm/lib.so: cannot open shared object file' } });
    const kms = token.open();
    const error = (await errorOf(wrap(kms))) as KeyfoldError;
    expect(error).toMatchObject({ code: 'KmsMisconfigured' });
    expect(faultOf(kms)).toMatchObject({ errorName: 'LibraryNotLoaded' });
    token.set({ faults: {} });
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
    expect(count(token.takeCalls(), 'load')).toBe(2);
  });

  it('throws KmsMisconfigured if pkcs11js is not installed', async () => {
    process.env['NODE_PATH'] = '';
    const kms = token.open();
    expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
    expect(faultOf(kms)).toMatchObject({ errorName: 'DriverNotInstalled' });
  });

  it('throws KmsUnavailable if the token fails to decrypt every wrap, even a valid wrap', async () => {
    const kms = token.open();
    const wrapped = await wrap(kms);
    token.set({ faults: { C_Decrypt: 'CKR_GENERAL_ERROR' } });
    expect(await codeOf(unwrap(kms, wrapped))).toBe('KmsUnavailable');
  });

  it('ends a call in time if the token does not respond, and serves later calls', async () => {
    const wrapped = await wrap(token.open());
    const kms = token.open({ requestTimeoutMs: 300 });
    token.set({ faults: { C_DecryptInit: 1500 } });
    expect(await codeOf(unwrap(kms, wrapped))).toBe('KmsUnavailable');
    expect(faultOf(kms)).toMatchObject({ errorName: 'NoAnswerInTime' });
    token.set({ faults: {} });
    // Try again until the call succeeds, because the thread is still busy with the abandoned call.
    await expect.poll(() => unwrap(kms, wrapped).catch(() => undefined), { timeout: 15_000 }).toEqual(KEY);
  });

  it('does not begin a queued call whose caller has stopped waiting', async () => {
    const wrapped = await wrap(token.open());
    const kms = token.open({ requestTimeoutMs: 200 });
    token.set({ faults: { C_DecryptInit: 3000 } });
    token.takeCalls();
    const codes = await Promise.all(Array.from({ length: 5 }, () => codeOf(unwrap(kms, wrapped))));
    expect(new Set(codes)).toEqual(new Set(['KmsUnavailable']));
    token.set({ faults: {} });
    expect(await unwrap(token.open({ requestTimeoutMs: 30_000 }), wrapped)).toEqual(KEY);
    // Two calls began: the one in progress when the callers stopped waiting, and the last one, which succeeded.
    expect(count(token.takeCalls(), 'C_DecryptInit')).toBe(2);
  });

  it('throws KmsUnavailable if its thread exits, and starts another thread for the next call', async () => {
    const kms = token.open();
    token.set({ faults: { C_EncryptInit: 'exit' } });
    expect(await codeOf(wrap(kms))).toBe('KmsUnavailable');
    expect(faultOf(kms)).toMatchObject({ errorName: 'ThreadEnded' });
    token.set({ faults: {} });
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
  });

  it('reports the error that ended its thread', async () => {
    await wrap(token.open());
    const kms = token.open();
    token.set({ faults: { C_EncryptInit: 1500 } });
    const ref = vi.spyOn(Worker.prototype, 'ref');
    const wrapped = wrap(kms);
    await expect.poll(() => ref.mock.contexts).toHaveLength(1);
    const [worker] = ref.mock.contexts as readonly Worker[];
    vi.restoreAllMocks();
    token.set({ faults: {} });
    worker?.emit('error', Object.assign(new Error('no such file'), { code: 'ENOENT' }));
    await worker?.terminate();
    expect(await unwrap(kms, await wrapped)).toEqual(KEY);
    expect(faultOf(kms)).toMatchObject({ faultClass: 'unavailable', errorName: 'ENOENT' });
  });

  it('zeroes a System Key that arrives after the caller has stopped waiting', async () => {
    const kms = token.open();
    const wrapped = await wrap(kms);
    token.set({ faults: { C_DecryptInit: 2000 } });
    const emit = vi.spyOn(Worker.prototype, 'emit');
    const controller = new AbortController();
    const call = errorOf(kms.unwrap(wrapped, { ...noDeadline(), signal: controller.signal }));
    await sleep(100);
    controller.abort(new Error('gone'));
    await call;
    const keys = (): unknown[] =>
      emit.mock.calls.flatMap(([, answer]: unknown[]) => {
        const { op, key } = (answer ?? {}) as Partial<Extract<TokenAnswer, { op: 'unwrapped' }>>;
        return op === 'unwrapped' && key !== undefined ? [Buffer.from(key)] : [];
      });
    await expect.poll(keys, { timeout: 30_000 }).toEqual([Buffer.alloc(KEY.length)]);
    vi.restoreAllMocks();
  });

  it.for([
    ['the call ends', 'responds', {}],
    ['the caller stops waiting', 'does not respond', { C_EncryptInit: 1500 }],
  ] as const)('keeps the process alive only until %s if the token %s', async ([, , faults]) => {
    await wrap(token.open());
    token.set({ faults });
    const ref = vi.spyOn(Worker.prototype, 'ref');
    const unref = vi.spyOn(Worker.prototype, 'unref');
    await wrap(token.open({ requestTimeoutMs: 300 })).catch(() => {});
    const [referred = 0, released = 0] = [ref, unref].map(({ mock }) => mock.invocationCallOrder.at(-1));
    vi.restoreAllMocks();
    expect(referred).toBeGreaterThan(0);
    expect(released).toBeGreaterThan(referred);
  });

  it("rejects with the signal's abort reason if the deadline passes during a call", async () => {
    const kms = token.open();
    const wrapped = await wrap(kms);
    token.set({ faults: { C_DecryptInit: 1000 } });
    const reason = new KeyfoldError('DeadlineExceeded', 'Over.');
    const controller = new AbortController();
    const call = errorOf(kms.unwrap(wrapped, { ...noDeadline(), signal: controller.signal }));
    await sleep(50);
    controller.abort(reason);
    expect(await call).toBe(reason);
  });
});

describe('maintenance with Pkcs11Kms', () => {
  it('zeroes the System Key that it unwraps', async () => {
    const kms = token.open();
    const wrapped = await wrap(kms);
    const real = Buffer.prototype.fill;
    let zeroed = 0;
    vi.spyOn(Buffer.prototype, 'fill').mockImplementation(function (this: Buffer, ...given: unknown[]) {
      if (given[0] === 0 && this.equals(KEY)) zeroed += 1;
      return Reflect.apply(real, this, given);
    });
    await kms.renew(wrapped, noDeadline());
    vi.restoreAllMocks();
    expect(zeroed).toBe(1);
  });

  it('reports whether the token unwraps a System Key, and makes no new wraps', async () => {
    const kms = token.open();
    const wrapped = await wrap(kms);
    const region = 'production';
    expect(await kms.renew(wrapped, noDeadline())).toEqual({
      regions: [{ region, opens: true, renewed: false }],
      renewed: undefined,
    });
    token.set({ tokens: [] });
    token.loseSessions();
    const { regions } = await kms.renew(wrapped, noDeadline());
    const fault = 'No KMS region answered: production unavailable (TokenNotFound).';
    expect(regions).toEqual([{ region, opens: false, renewed: false, fault }]);
    const foreign = Buffer.from('vault:v1:AAAA');
    const unreadable = 'it is not wrapped by a PKCS#11 token';
    expect(await kms.renew(foreign, noDeadline())).toEqual({ regions: [], renewed: undefined, unreadable });
    expect(await unwrap(kms, foreign)).toEqual({ unreadable });
  });
});

it('maintenance with Pkcs11Kms ignores the error of a listener', async () => {
  const wrapped = await wrap(token.open());
  const bug = new Error('a bug in a listener');
  const attempted = (): never => {
    throw bug;
  };
  const { regions } = await token.open({ events: { attempted } }).renew(wrapped, noDeadline());
  expect(regions.map(({ opens, fault }) => [opens, fault])).toEqual([[true, undefined]]);
});

describe('the Pkcs11Kms constructor', () => {
  const valid: Pkcs11KmsOptions = { library: '/l.so', tokenLabel: 't', keyLabels: ['k'], pin: () => '1' };

  const TOKEN_LABEL = 'tokenLabel must have 1 to 32 printable ASCII characters';

  it.each([
    [{ library: '' }, ['library is not the path of a library']],
    [{ library: '/l.so\0' }, ['library is not the path of a library']],
    [{ tokenLabel: '' }, [TOKEN_LABEL]],
    [{ tokenLabel: ' x' }, [TOKEN_LABEL]],
    [{ tokenLabel: 'x ' }, [TOKEN_LABEL]],
    [{ tokenLabel: '\x7F' }, [TOKEN_LABEL]],
    [{ tokenLabel: 'x\x1Fx' }, [TOKEN_LABEL]],
    [{ tokenLabel: 'x\x7Fx' }, [TOKEN_LABEL]],
    [{ tokenLabel: 'x'.repeat(33) }, [TOKEN_LABEL]],
    [{ keyLabels: [] }, ['keyLabels is empty: name at least one']],
    [{ keyLabels: ['a', 'a'] }, ['keyLabels names one key twice']],
    [{ keyLabels: ['a', 'ä'] }, ['keyLabels[1] must have 1 to 128 printable ASCII characters']],
    [
      { keyLabels: ['x'.repeat(129), '', '\x1F', '\x7F'] },
      [0, 1, 2, 3].map((i) => `keyLabels[${i}] must have 1 to 128 printable ASCII characters`),
    ],
    [{ requestTimeoutMs: 0 }, ['requestTimeoutMs must be a positive whole number']],
    [{ requestTimeoutMs: 2 ** 31 }, ['requestTimeoutMs must not be more than 2147483647']],
  ])('rejects the options %j with InvalidConfiguration', (changes, faults) => {
    const message = ['Keyfold cannot start:', ...faults.map((fault) => `- ${fault}`)].join('\n');
    expect(() => new Pkcs11Kms({ ...valid, ...changes })).toThrow(
      expect.objectContaining({ code: 'InvalidConfiguration', message }),
    );
  });

  it('lets an attempt take five seconds by default', () => {
    expect(checkedPkcs11Options(valid)).toEqual({ ...valid, requestTimeoutMs: 5000 });
    expect(checkedPkcs11Options({ ...valid, requestTimeoutMs: 1 }).requestTimeoutMs).toBe(1);
  });

  it.each([
    [{ library: 1 }, 'options.library must be a string'],
    [{ tokenLabel: 1 }, 'options.tokenLabel must be a string'],
    [{ pin: '1234' }, 'options.pin must be a function'],
    [{ keyLabels: 'k' }, 'options.keyLabels must be an array'],
    [{ keyLabels: ['k', 5] }, 'options.keyLabels[1] must be a string'],
    [{ mechanism: 'CKM_AES_CBC' }, "options.mechanism must be 'CKM_AES_GCM' or 'CKM_AES_KEY_WRAP_PAD'"],
    [{ requestTimeoutMs: '1' }, 'options.requestTimeoutMs must be a number'],
    [{ events: 5 }, 'options.events must be an object'],
    [{ events: { attempted: 5 } }, 'options.events.attempted must be a function'],
    [{ pinFile: 'x' }, 'options has no option pinFile'],
  ])('rejects the options %j with a TypeError that shows no value', (changes, text) => {
    expect(() => new Pkcs11Kms({ ...valid, ...changes } as never)).toThrow(
      expect.objectContaining({ name: 'TypeError', message: expect.stringContaining(text) }),
    );
  });

  it('lists every invalid option', () => {
    const invalid = { ...valid, library: '', tokenLabel: '', keyLabels: [], requestTimeoutMs: 0 };
    expect(() => new Pkcs11Kms(invalid)).toThrow(/library.*tokenLabel.*keyLabels.*requestTimeoutMs/s);
  });

  it('accepts the longest labels, even with special characters', async () => {
    const keyLabel = `${'%:~'.repeat(42)}%:`;
    const tokenLabel = `! ${'~'.repeat(30)}`;
    expect([keyLabel.length, tokenLabel.length]).toEqual([128, 32]);
    token.set({ tokens: [tokenLabel], keys: [{ label: keyLabel }] });
    const kms = token.open({ tokenLabel, keyLabels: [keyLabel] });
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
  });
});
