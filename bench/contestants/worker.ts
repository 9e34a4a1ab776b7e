/**
 * Runs one Node contestant. Like asherah_worker.py, it replies to each line of standard input with one line:
 * - `{"payload"}` (base64) sets the payload and checks that it decrypts to the same bytes.
 * - `{"operation", "runs"}` times that number of runs.
 */
import { createSecretKey, randomBytes } from 'node:crypto';
import { createInterface } from 'node:readline';
import { localTask } from '../compare.ts';
import { floorDecrypt, floorEncrypt } from '../floor.ts';
import { openKeyfold } from '../keyfold.ts';
import { awsEncryptionSdk, type AwsEncryptionSdk } from './aws-encryption-sdk.ts';
import type { Contestant } from './contestant.ts';
import { jose, type Jose } from './jose.ts';
import { kmsPerItem } from './kms-per-item.ts';
import { requireNpmContestant } from './npm-packages.ts';

interface Order {
  readonly payload?: string;
  readonly operation: 'encrypt' | 'decrypt';
  readonly runs: number;
}

const contestant = await open(process.argv[2] ?? '');
let plaintext = Buffer.alloc(0);
let sealed: unknown;
const tasks = {
  encrypt: localTask(() => {
    const made = contestant.encrypt(plaintext);
    return made instanceof Promise ? made.then(flat) : flat(made);
  }),
  decrypt: localTask(() => contestant.decrypt(sealed)),
};

for await (const line of createInterface(process.stdin)) {
  const { payload, operation, runs } = JSON.parse(line) as Order;
  if (payload === undefined) {
    console.log(JSON.stringify(await tasks[operation].time(runs)));
    continue;
  }
  plaintext = Buffer.from(payload, 'base64');
  sealed = await contestant.encrypt(plaintext);
  if (!plaintext.equals(await contestant.decrypt(sealed))) throw new Error('the decrypted payload differs');
  console.log('{}');
}

/**
 * Copies a string to bytes, as a program that stores the string would. V8 concatenates the parts of a string only when
 * a program reads its characters. Without the copy, the measured time would not include that work.
 */
function flat(made: unknown): unknown {
  return typeof made === 'string' ? Buffer.from(made, 'latin1') : made;
}

async function open(name: string): Promise<Contestant> {
  switch (name) {
    case 'floor': {
      const parent = createSecretKey(randomBytes(32));
      return {
        encrypt: (bytes) => floorEncrypt(parent, bytes),
        decrypt: (record) => floorDecrypt(parent, record as string),
      };
    }
    case 'Keyfold, library':
      return openKeyfold();
    case 'jose':
      return await jose(requireNpmContestant('jose') as Jose);
    case 'KMS for each item':
      return await kmsPerItem();
    default: {
      const sdk = requireNpmContestant('@aws-crypto/client-node') as AwsEncryptionSdk;
      return awsEncryptionSdk(sdk, { tuned: name === 'AWS Encryption SDK, tuned' });
    }
  }
}
