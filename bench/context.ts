/**
 * Benchmark section: the cost of a context with two entries in the library, in the handler and in the AWS Encryption
 * SDK, and the cost of an HMAC alone.
 */
import { createHmac, createSecretKey, randomBytes } from 'node:crypto';
import { race, timesAsLong, type Task } from './compare.ts';
import { awsEncryptionSdk, type AwsEncryptionSdk } from './contestants/aws-encryption-sdk.ts';
import { installNpmContestants, requireNpmContestant } from './contestants/npm-packages.ts';
import { SIZES, type Figure, type SectionResult } from './figures.ts';
import { floorDecrypt, floorEncrypt } from './floor.ts';
import { eventOf, flat, openHandler } from './handler.ts';
import { openSession } from './keyfold.ts';

const CONTEXT = { table: 'users', id: '42' };
const CONTEXT_SIZES = ['64 B', '64 KiB'] as const;
const OPERATIONS = ['encrypt', 'decrypt'] as const;
const SDK = 'AWS Encryption SDK, tuned';
/**
 * The contestant with the minimum cost of a context. Every context needs a proof, which is an HMAC of `node:crypto`.
 */
const FLOOR = 'raw envelope, with one HMAC as its context';
const FLOOR_MESSAGE_BYTES = 128;
/** These ratios are close to 1, so measuring them takes more rounds than other ratios. */
const ROUNDS = 61;

/** A task with a context, and the same task without one. */
type Pair = Readonly<Record<'bound' | 'unbound', Task>>;
type Pairs = Readonly<Record<(typeof OPERATIONS)[number], Pair>>;

/** Measures the ratio of a call's time with a context to its time without one. */
export async function measureContext(): Promise<SectionResult> {
  await installNpmContestants();
  const subjects = [
    ['library', await openLibrary()],
    ['handler', openDoor()],
    [SDK, openSdk()],
    [FLOOR, openFloor()],
  ] as const;
  const figures: Figure[] = [];
  for (const [name, pairsOf] of subjects) {
    for (const size of CONTEXT_SIZES) {
      const pairs = await pairsOf(randomBytes(SIZES[size]));
      for (const operation of OPERATIONS) {
        const { bound, unbound } = await race(pairs[operation], { rounds: ROUNDS });
        const byCpu = timesAsLong(bound, unbound, 'cpuMs').value;
        const title = `${name}: ${operation} ${size} with a context against without`;
        figures.push({ name: title, ...timesAsLong(bound, unbound), byCpu, unit: '×' });
      }
    }
  }
  return { figures };
}

/**
 * Opens the library. Each call with a context creates a new session, because every row of a table has its own context.
 */
async function openLibrary(): Promise<(plaintext: Buffer) => Promise<Pairs>> {
  const session = openSession();
  return async (plaintext) => {
    const record = await session.encryptToJson(plaintext);
    const boundRecord = await session.withContext(CONTEXT).encryptToJson(plaintext);
    return {
      encrypt: {
        bound: () => session.withContext(CONTEXT).encryptToJson(plaintext).then(flat),
        unbound: () => session.encryptToJson(plaintext).then(flat),
      },
      decrypt: {
        bound: () => session.withContext(CONTEXT).decryptJson(boundRecord),
        unbound: () => session.decryptJson(record),
      },
    };
  };
}

function openDoor(): (plaintext: Buffer) => Promise<Pairs> {
  const send = openHandler();
  return async (bytes) => {
    const plaintext = bytes.toString('base64');
    const encrypt = eventOf('encrypt', { plaintext });
    const boundEncrypt = eventOf('encrypt', { plaintext, context: CONTEXT });
    const recordOf = async (event: typeof encrypt) => JSON.parse((await send(event)).toString()) as object;
    const decrypt = eventOf('decrypt', await recordOf(encrypt));
    const boundDecrypt = eventOf('decrypt', { ...(await recordOf(boundEncrypt)), context: CONTEXT });
    return {
      encrypt: { bound: () => send(boundEncrypt), unbound: () => send(encrypt) },
      decrypt: { bound: () => send(boundDecrypt), unbound: () => send(decrypt) },
    };
  };
}

function openSdk(): (plaintext: Buffer) => Promise<Pairs> {
  const library = requireNpmContestant('@aws-crypto/client-node') as AwsEncryptionSdk;
  const bound = awsEncryptionSdk(library, { tuned: true, context: CONTEXT });
  const unbound = awsEncryptionSdk(library, { tuned: true });
  return async (plaintext) => {
    const [boundRecord, record] = [await bound.encrypt(plaintext), await unbound.encrypt(plaintext)];
    return {
      encrypt: { bound: () => bound.encrypt(plaintext), unbound: () => unbound.encrypt(plaintext) },
      decrypt: { bound: () => bound.decrypt(boundRecord), unbound: () => unbound.decrypt(record) },
    };
  };
}

function openFloor(): (plaintext: Buffer) => Promise<Pairs> {
  const parent = createSecretKey(randomBytes(32));
  const message = randomBytes(FLOOR_MESSAGE_BYTES);
  const hmac = (): Buffer => createHmac('sha256', parent).update(message).digest();
  return async (plaintext) => {
    const record = floorEncrypt(parent, plaintext);
    const encrypt = (): Buffer => flat(floorEncrypt(parent, plaintext));
    const decrypt = (): Buffer => floorDecrypt(parent, record);
    return {
      encrypt: { bound: () => [encrypt(), hmac()], unbound: encrypt },
      decrypt: { bound: () => [decrypt(), hmac()], unbound: decrypt },
    };
  };
}
