import assert from 'node:assert/strict';
import { optional, FUNCTION, type Types } from '../input/checks.ts';
import { randomKeyBytes } from '../crypto/random.ts';
import { SessionFactory } from '../envelope/session-factory.ts';
import type { KeyManagementService } from '../envelope/ports.ts';
import type { ErrorCode } from '../errors.ts';
import { MemoryMetastore } from '../metastore/memory-metastore.ts';
import {
  abortCase,
  caseWith,
  checkedOptions,
  CONTRACT_OPTIONS,
  hangCases,
  type Call,
  type ContractCase,
  type ContractOptions,
  type Opener,
} from './contract-case.ts';
import { noDeadline } from '../async/deadline.ts';
import {
  asView,
  flipped,
  FOREIGN,
  keyIn,
  mustBeReason,
  mustRefuse,
  mustUnwrapTo,
  outcomeOf,
  resized,
  wrap,
} from './kms-calls.ts';

/** Options of {@link kmsContract}. */
export interface KmsContractOptions<T extends KeyManagementService = KeyManagementService> extends ContractOptions<T> {
  /**
   * Makes a plug-in whose calls the service rejects, for example because the plug-in has no permission. If this
   * function is absent, the contract has no case about rejected calls.
   */
  readonly openRefused?: Opener<T>;
  /**
   * Rotates the wrapping key, as an operator would. Plug-ins that are opened later wrap with the new version or key. If
   * this function is absent, the contract has no case about rotation.
   */
  readonly rotate?: () => void | Promise<void>;
}

export const KMS_OPTIONS: Types<KmsContractOptions> = {
  ...CONTRACT_OPTIONS,
  openRefused: optional(FUNCTION),
  rotate: optional(FUNCTION),
};
const NAMES = { service: 'contract', product: 'keyfold' };
const OUTAGE: readonly ErrorCode[] = ['KmsUnavailable', 'KmsThrottled', 'KmsMisconfigured'];
const WRAPS = 10;
const UNWRAPS = 100;

/**
 * The contract of every `KeyManagementService`, as test cases for any test framework.
 * @param open makes the plug-in. The cases treat each plug-in as a separate process, so all plug-ins must share their
 * keys.
 * @example
 * import { it } from 'vitest';
 * import { kmsContract } from 'keyfold/testing';
 *
 * for (const { name, run } of kmsContract(() => new MyKms(options))) it(name, run);
 * @throws TypeError for an argument of the wrong type or an unknown option
 */
export function kmsContract(open: Opener<KeyManagementService>, options: KmsContractOptions = {}): ContractCase[] {
  const { openFailing, openHanging, openRefused, rotate } = checkedOptions(open, options, KMS_OPTIONS);
  const calls = async (): Promise<Call<KeyManagementService>[]> => {
    const { wrapped } = await wrap(await open(), randomKeyBytes());
    return [
      ['wrap', (kms, deadline) => kms.wrap(randomKeyBytes(), deadline)],
      ['unwrap', (kms, deadline) => kms.unwrap(wrapped, deadline)],
    ];
  };
  return [
    {
      name: 'unwraps a System Key that another process wrapped',
      run: async () => {
        const key = randomKeyBytes();
        const { wrapped } = await wrap(await open(), key);
        assert.ok(wrapped.length > 0, 'the wrap must not be empty');
        assert.deepEqual(await keyIn(await open(), wrapped), key);
      },
    },
    {
      name: 'leaves the given key unchanged and keeps no reference to it',
      run: async () => {
        const kms = await open();
        const key = randomKeyBytes();
        const copy = Buffer.from(key);
        const { wrapped } = await wrap(kms, key);
        assert.deepEqual(key, copy, 'wrap must not change the key');
        key.fill(0);
        assert.deepEqual(await keyIn(kms, wrapped), copy);
      },
    },
    {
      name: 'reads only the bytes of a view, and leaves the given wrap unchanged',
      run: async () => {
        const kms = await open();
        const key = randomKeyBytes();
        const { wrapped } = await wrap(kms, asView(key));
        const given = asView(wrapped);
        assert.deepEqual(await keyIn(kms, given), key);
        assert.deepEqual(Buffer.from(given), Buffer.from(wrapped), 'unwrap must not change the wrap');
      },
    },
    {
      name: 'does not show the key in its wrap',
      run: async () => {
        const key = randomKeyBytes();
        const wrapped = Buffer.from((await wrap(await open(), key)).wrapped);
        for (const encoding of ['latin1', 'base64', 'hex'] as const) {
          const text = encoding === 'latin1' ? wrapped.toString('latin1') : wrapped.toString();
          assert.ok(!text.includes(key.toString(encoding)), `the wrap contains the key as ${encoding}`);
        }
      },
    },
    {
      name: 'returns new bytes from each unwrap, so that the caller can zero them',
      run: async () => {
        const kms = await open();
        const key = randomKeyBytes();
        const { wrapped } = await wrap(kms, key);
        const first = await keyIn(kms, wrapped);
        first.fill(0);
        assert.deepEqual(await keyIn(kms, wrapped), key);
      },
    },
    {
      name: 'returns the reason for bytes that it can never unwrap',
      run: async () => {
        const kms = await open();
        for (const bytes of FOREIGN) {
          const unwrapped = await kms.unwrap(bytes, noDeadline());
          assert.ok(!('key' in unwrapped), 'foreign bytes must not unwrap');
          mustBeReason(unwrapped.unreadable);
        }
      },
    },
    {
      name: 'never unwraps changed bytes to another key, wherever they are changed',
      run: async () => {
        const kms = await open();
        const key = randomKeyBytes();
        const { wrapped } = await wrap(kms, key);
        const outcomes: string[] = [];
        for (const changed of flipped(wrapped)) outcomes.push(await outcomeOf(kms, changed, key));
        for (const changed of resized(wrapped)) await outcomeOf(kms, changed, key);
        // A service may reject a wrap whose key name was changed. But for a changed ciphertext, `unwrap` must return
        // `unreadable`.
        const isKnown = outcomes.includes('unreadable') || !outcomes.includes('refused');
        assert.ok(isKnown, 'unwrap must return unreadable for a changed ciphertext, and not reject');
      },
    },
    {
      name: 'unwraps 100 keys concurrently, each to its own bytes',
      run: async () => {
        const kms = await open();
        const keys = Array.from({ length: WRAPS }, randomKeyBytes);
        const wraps = await Promise.all(keys.map((key) => wrap(kms, key)));
        const opened = Array.from({ length: UNWRAPS / WRAPS }, () =>
          Promise.all(wraps.map(({ wrapped }) => keyIn(kms, wrapped))),
        );
        for (const each of await Promise.all(opened)) assert.deepEqual(each, keys);
      },
    },
    {
      name: 'gives the same basis for the proof of a row with each unwrap as with the wrap, or none at all',
      run: async () => {
        const kms = await open();
        const key = randomKeyBytes();
        const { wrapped, rowProof } = await wrap(kms, key);
        for (const one of [kms, await open()]) await mustUnwrapTo(one, wrapped, key, rowProof);
      },
    },
    abortCase(open, calls),
    {
      name: 'serves a whole process with one wrap or one unwrap, for any number of partitions',
      run: async () => {
        const metastore = new MemoryMetastore();
        const made: string[] = [];
        const process = async (): Promise<SessionFactory> =>
          new SessionFactory({ ...NAMES, metastore, kms: counted(await open(), made) });
        const partitions = Array.from({ length: 10 }, (_, i) => `tenant-${i}`);
        const first = await process();
        const records = await Promise.all(
          partitions.map((partition) => first.session(partition).encrypt(Buffer.from(partition))),
        );
        assert.deepEqual(made.splice(0), ['wrap']);
        const second = await process();
        for (const [i, partition] of partitions.entries()) {
          const record = records[i];
          assert.ok(record !== undefined);
          assert.equal((await second.session(partition).decrypt(record)).toString(), partition);
        }
        assert.deepEqual(made, ['unwrap']);
      },
    },
    ...caseWith(rotate, 'unwraps a System Key that an earlier version of its key wrapped', async (change) => {
      const [before, key] = [await open(), randomKeyBytes()];
      const { wrapped, rowProof } = await wrap(before, key);
      await change();
      const after = await open();
      for (const kms of [before, after]) await mustUnwrapTo(kms, wrapped, key, rowProof);
      assert.deepEqual(await keyIn(await open(), (await wrap(after, key)).wrapped), key);
    }),
    ...caseWith(
      openFailing,
      'rejects with KmsUnavailable, KmsThrottled or KmsMisconfigured if its service does not answer',
      (failing) => mustRefuse(open, failing, OUTAGE),
    ),
    ...caseWith(openRefused, 'rejects with KmsMisconfigured if its service refuses it', (refused) =>
      mustRefuse(open, refused, ['KmsMisconfigured']),
    ),
    ...hangCases(openHanging, calls),
  ];
}

function counted(kms: KeyManagementService, calls: string[]): KeyManagementService {
  return {
    wrap: (key, deadline) => {
      calls.push('wrap');
      return kms.wrap(key, deadline);
    },
    unwrap: (wrapped, deadline) => {
      calls.push('unwrap');
      return kms.unwrap(wrapped, deadline);
    },
  };
}
