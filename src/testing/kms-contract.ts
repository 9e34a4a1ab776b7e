import assert from 'node:assert/strict';
import { isUint8Array } from 'node:util/types';
import { KEY_BYTES, randomKeyBytes } from '../crypto/random.ts';
import { SessionFactory } from '../envelope/session-factory.ts';
import type { KeyManagementService, RowProofBasis, Unwrapped, Wrapped } from '../envelope/ports.ts';
import type { ErrorCode } from '../errors.ts';
import { MemoryMetastore } from '../metastore/memory-metastore.ts';
import {
  checkedOptions,
  CONTRACT_OPTIONS,
  mustFailWith,
  mustHonourAbort,
  type ContractCase,
  type ContractOptions,
  type Opener,
} from './contract-case.ts';
import { noDeadline } from './hand-clock.ts';

const NAMES = { service: 'contract', product: 'keyfold' };
const OUTAGE: readonly ErrorCode[] = ['KmsUnavailable', 'KmsThrottled', 'KmsMisconfigured'];
/** Bytes that no service returned as a wrap: too short, not text, or text in another form. */
const FOREIGN = [
  [],
  [0],
  Array.from({ length: 200 }, (_, i) => i),
  [...Buffer.from('{"wrapped":"by another service"}')],
];

/**
 * The contract of every `KeyManagementService`, as test cases for any test framework.
 * @param open makes the plug-in. Each call stands for a separate process, so the plug-ins must share their keys.
 * @example
 * import { it } from 'vitest';
 * import { kmsContract } from 'keyfold/testing';
 *
 * for (const { name, run } of kmsContract(() => new MyKms(options))) it(name, run);
 * @throws TypeError if an argument is not a function
 */
export function kmsContract(
  open: Opener<KeyManagementService>,
  options: ContractOptions<KeyManagementService> = {},
): ContractCase[] {
  const { openFailing } = checkedOptions(open, options, CONTRACT_OPTIONS);
  const cases: ContractCase[] = [
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
          const unwrapped = await kms.unwrap(Uint8Array.from(bytes), noDeadline());
          assert.ok(!('key' in unwrapped), 'foreign bytes must not unwrap');
          assert.ok(
            typeof unwrapped.unreadable === 'string' && unwrapped.unreadable !== '',
            'unreadable must be a reason',
          );
        }
      },
    },
    {
      name: 'never unwraps changed bytes to another key',
      run: async () => {
        const kms = await open();
        const key = randomKeyBytes();
        const { wrapped } = await wrap(kms, key);
        for (const part of [0.1, 0.5, 0.9]) {
          const changed = Buffer.from(wrapped);
          const at = Math.floor(part * changed.length);
          changed[at] = (changed[at] ?? 0) ^ 1;
          // Some services check the names in the row before they open it, so this case accepts an error.
          const unwrapped: Unwrapped = await kms
            .unwrap(changed, noDeadline())
            .catch(() => ({ unreadable: 'an error' }));
          if ('key' in unwrapped) assert.deepEqual(Buffer.from(unwrapped.key), key);
        }
      },
    },
    {
      name: 'wraps and unwraps many keys concurrently',
      run: async () => {
        const kms = await open();
        const keys = Array.from({ length: 20 }, randomKeyBytes);
        const opened = keys.map(async (key) => keyIn(kms, (await wrap(kms, key)).wrapped));
        assert.deepEqual(await Promise.all(opened), keys);
      },
    },
    {
      name: 'gives the same basis for the proof of a row with each unwrap as with the wrap, or none at all',
      run: async () => {
        const kms = await open();
        const key = randomKeyBytes();
        const { wrapped, rowProof } = await wrap(kms, key);
        for (const one of [kms, await open()]) {
          const unwrapped = await one.unwrap(wrapped, noDeadline());
          assert.ok('key' in unwrapped, 'the wrap must unwrap');
          assert.deepEqual(basisOf(unwrapped.rowProof), basisOf(rowProof));
        }
        if (rowProof === undefined) return;
        assert.equal(rowProof.key.length, KEY_BYTES, 'the key of a basis has 32 bytes');
        assert.notDeepEqual(Buffer.from(rowProof.key), key, 'the key of a basis must not be the System Key');
      },
    },
    {
      name: 'answers a call under an aborted deadline, or rejects with the reason of its signal',
      run: async () => {
        const kms = await open();
        const { wrapped } = await wrap(kms, randomKeyBytes());
        await mustHonourAbort((deadline) => kms.wrap(randomKeyBytes(), deadline), 'wrap');
        await mustHonourAbort((deadline) => kms.unwrap(wrapped, deadline), 'unwrap');
      },
    },
    {
      name: 'serves a whole process with one wrap or one unwrap, for any number of partitions',
      run: async () => {
        const metastore = new MemoryMetastore();
        const calls: string[] = [];
        const process = async (): Promise<SessionFactory> =>
          new SessionFactory({ ...NAMES, metastore, kms: counted(await open(), calls) });
        const partitions = Array.from({ length: 10 }, (_, i) => `tenant-${i}`);
        const first = await process();
        const records = await Promise.all(
          partitions.map((partition) => first.session(partition).encrypt(Buffer.from(partition))),
        );
        assert.deepEqual(calls.splice(0), ['wrap']);
        const second = await process();
        for (const [i, partition] of partitions.entries()) {
          const record = records[i];
          assert.ok(record !== undefined);
          assert.equal((await second.session(partition).decrypt(record)).toString(), partition);
        }
        assert.deepEqual(calls, ['unwrap']);
      },
    },
  ];
  if (openFailing === undefined) return cases;
  const outage: ContractCase = {
    name: 'rejects with KmsUnavailable, KmsThrottled or KmsMisconfigured if its service does not answer',
    run: async () => {
      const { wrapped } = await wrap(await open(), randomKeyBytes());
      const failing = await openFailing();
      await mustFailWith(failing.wrap(randomKeyBytes(), noDeadline()), 'wrap', OUTAGE);
      await mustFailWith(failing.unwrap(wrapped, noDeadline()), 'unwrap', OUTAGE);
    },
  };
  return [...cases, outage];
}

async function wrap(kms: KeyManagementService, key: Uint8Array): Promise<Wrapped> {
  const answer = await kms.wrap(key, noDeadline());
  return isUint8Array(answer) ? { wrapped: answer } : answer;
}

async function keyIn(kms: KeyManagementService, wrapped: Uint8Array): Promise<Buffer> {
  const unwrapped = await kms.unwrap(wrapped, noDeadline());
  assert.ok('key' in unwrapped, 'the wrap must unwrap');
  assert.ok(isUint8Array(unwrapped.key), 'the key must be a Buffer');
  return Buffer.from(unwrapped.key.buffer, unwrapped.key.byteOffset, unwrapped.key.byteLength);
}

function basisOf(basis: RowProofBasis | undefined): { key: Buffer; sealed: Buffer } | undefined {
  return basis && { key: Buffer.from(basis.key), sealed: Buffer.from(basis.sealed) };
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
