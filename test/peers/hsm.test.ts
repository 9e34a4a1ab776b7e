/** Tests Pkcs11Kms on SoftHSM 2. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { MemoryMetastore, SessionFactory, type Attempt } from '../../src/index.ts';
import { Pkcs11Kms, type Pkcs11KmsOptions } from '../../src/kms/pkcs11/index.ts';
import { kmsContract, wrapRenewerContract } from '../../src/testing/index.ts';
import { runContract } from '../support/contract/bind.ts';
import { codeOf, noDeadline } from '../support/fakes.ts';
import { keyOf } from '../support/kms.ts';
import { DRIVER_PATH, PIN, SoftHsm } from './softhsm.ts';

const KEY = Buffer.alloc(32, 9);
let hsm: SoftHsm;

beforeAll(async () => {
  process.env['NODE_PATH'] = DRIVER_PATH;
  hsm = await SoftHsm.make('production', 'locked');
});
afterAll(() => hsm.remove());

const open = (changes: Partial<Pkcs11KmsOptions> = {}): Pkcs11Kms =>
  new Pkcs11Kms({ library: hsm.library, tokenLabel: 'production', keyLabels: ['keyfold'], pin: () => PIN, ...changes });
const wrap = (kms: Pkcs11Kms): Promise<Uint8Array> => kms.wrap(KEY, noDeadline());
const unwrap = (kms: Pkcs11Kms, wrapped: Uint8Array): Promise<unknown> => keyOf(kms.unwrap(wrapped, noDeadline()));
const faultOf = (kms: Pkcs11Kms): unknown => kms.regionStates()[0]?.lastFault;

// This test must run first, because the tokens of a process share one login.
it('Pkcs11Kms throws KmsMisconfigured for a wrong PIN, and the right PIN works afterwards', async () => {
  let pin = '000000';
  const kms = open({ tokenLabel: 'locked', pin: () => pin });
  for (let i = 0; i < 20; i += 1) expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
  expect(faultOf(kms)).toMatchObject({ errorName: 'CKR_PIN_INCORRECT' });
  pin = PIN;
  expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
});

describe.each([
  ['default mechanism', undefined],
  ['mechanism CKM_AES_GCM', 'CKM_AES_GCM'],
  ['mechanism CKM_AES_KEY_WRAP_PAD', 'CKM_AES_KEY_WRAP_PAD'],
] as const)('Pkcs11Kms with the %s', (_, mechanism) => {
  const openOne = (): Pkcs11Kms => open({ mechanism });
  const faults = {
    openFailing: () => open({ mechanism, tokenLabel: 'absent' }),
    openRefused: () => open({ mechanism, keyLabels: ['absent'] }),
  };
  runContract('Pkcs11Kms on SoftHSM as a KMS', kmsContract(openOne, faults));
  runContract('Pkcs11Kms on SoftHSM as a renewer of wraps', wrapRenewerContract(openOne, faults));

  it('does not unwrap a wrap in which a character was changed', async () => {
    const kms = open({ mechanism });
    const text = Buffer.from(await wrap(kms)).toString();
    for (let at = text.lastIndexOf(':') + 1; at < text.length; at += 3) {
      const changed = `${text.slice(0, at)}${text[at] === 'A' ? 'B' : 'A'}${text.slice(at + 1)}`;
      const outcome = await unwrap(kms, Buffer.from(changed));
      expect({ changed, outcome }).toEqual({ changed, outcome: { unreadable: expect.any(String) } });
    }
  });

  it('throws KmsUnavailable while the tokens are removed, and works again once they are back', async () => {
    const kms = open({ mechanism });
    const wrapped = await wrap(kms);
    await hsm.removeTokens();
    expect(await codeOf(unwrap(kms, wrapped))).toBe('KmsUnavailable');
    expect(await codeOf(wrap(kms))).toBe('KmsUnavailable');
    await hsm.putTokensBack();
    expect(await unwrap(kms, wrapped)).toEqual(KEY);
    expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
  });
});

it('Pkcs11Kms throws KmsThrottled while no session is free', async () => {
  await hsm.limitSessions(0);
  const kms = open();
  expect(await codeOf(wrap(kms))).toBe('KmsThrottled');
  expect(faultOf(kms)).toMatchObject({ errorName: 'CKR_SESSION_COUNT' });
  await hsm.limitSessions(100);
  expect(await unwrap(kms, await wrap(kms))).toEqual(KEY);
});

it('a hundred concurrent loads of a System Key cause one unwrap', async () => {
  const attempts: Attempt[] = [];
  const metastore = new MemoryMetastore();
  const start = (): SessionFactory => {
    const kms = open({ events: { attempted: (attempt) => void attempts.push(attempt) } });
    return new SessionFactory({ service: 'svc', product: 'prod', metastore, kms });
  };
  const first = start();
  const partitions = Array.from({ length: 100 }, (_, i) => `tenant-${i}`);
  const records = await Promise.all(partitions.map((partition) => first.session(partition).encrypt(KEY)));
  attempts.length = 0;
  const second = start();
  const opened = partitions.map((partition, i) => second.session(partition).decrypt(records[i] as never));
  expect(new Set((await Promise.all(opened)).map(String))).toEqual(new Set([String(KEY)]));
  expect(attempts).toMatchObject([{ region: 'production', action: 'Decrypt' }]);
});

it('Pkcs11Kms wraps with the first key in its list, and still unwraps what the second key has wrapped', async () => {
  const old = await wrap(open({ keyLabels: ['older'] }));
  const kms = open({ keyLabels: ['keyfold', 'older'] });
  expect(await unwrap(kms, old)).toEqual(KEY);
  expect(Buffer.from(await wrap(kms)).toString()).toMatch(/^pkcs11:gcm:keyfold:/);
});

it.each([
  ['extractable', 'KeyExtractable'],
  ['absent', 'KeyNotFound'],
])('Pkcs11Kms throws KmsMisconfigured if the key is %s', async (label, errorName) => {
  const kms = open({ keyLabels: [label] });
  expect(await codeOf(wrap(kms))).toBe('KmsMisconfigured');
  expect(faultOf(kms)).toMatchObject({ errorName });
});
