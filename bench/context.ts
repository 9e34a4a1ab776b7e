/**
 * Benchmark section: the cost of a context with two entries in the library, in the handler and in the AWS Encryption
 * SDK, and the least that it can cost.
 */
import { createHmac, createSecretKey, randomBytes, timingSafeEqual } from 'node:crypto';
import { race, timesAsLong, type Laps, type Task } from './compare.ts';
import { awsEncryptionSdk, type AwsEncryptionSdk } from './contestants/aws-encryption-sdk.ts';
import { installNpmContestants, requireNpmContestant } from './contestants/npm-packages.ts';
import { SIZES, type Figure, type SectionResult } from './figures.ts';
import { eventOf, flat, openHandler } from './handler.ts';
import { openSession } from './keyfold.ts';

const CONTEXT = { table: 'users', id: '42' };
const CONTEXT_SIZES = ['64 B', '64 KiB'] as const;
const OPERATIONS = ['encrypt', 'decrypt'] as const;
const SDK = 'AWS Encryption SDK, tuned';
/** About as many bytes as the context, the tag and the nonce of a record together have. */
const MESSAGE_BYTES = 128;
/** These ratios are close to 1, so measuring them takes more rounds than other ratios. */
const ROUNDS = 61;

/** A task with a context, and the same task without one. */
type Pair = Readonly<Record<'bound' | 'unbound', Task>>;
type Pairs = Readonly<Record<(typeof OPERATIONS)[number], Pair>>;

/** Measures the ratio of a call's time with a context to its time without one. */
export async function measureContext(): Promise<SectionResult> {
  await installNpmContestants();
  const subjects = [
    ['library', await openLibrary(), leastWork('')],
    ['handler', openDoor(), leastWork(JSON.stringify({ context: CONTEXT }))],
    [SDK, openSdk(), undefined],
  ] as const;
  const figures: Figure[] = [];
  for (const [name, pairsOf, least] of subjects) {
    for (const size of CONTEXT_SIZES) {
      const pairs = await pairsOf(randomBytes(SIZES[size]));
      for (const operation of OPERATIONS) {
        const tasks = pairs[operation];
        const withLeast = async (): Promise<unknown> => (least?.[operation](), tasks.unbound());
        const laps = await race<string>(least ? { ...tasks, least: withLeast } : { ...tasks }, { rounds: ROUNDS });
        const { bound = [], unbound = [] } = laps;
        const push = (title: string, one: Laps, other: Laps): void => {
          const byCpu = timesAsLong(one, other, 'cpuMs').value;
          figures.push({
            name: `${name}: ${operation} ${size} ${title}`,
            ...timesAsLong(one, other),
            byCpu,
            unit: '×',
          });
        };
        push('with a context against without', bound, unbound);
        if (laps['least'] === undefined) continue;
        push('without a context, plus its least work, against without', laps['least'], unbound);
        push('with a context against without, plus its least work', bound, laps['least']);
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

/**
 * What no implementation of a context can do without: the proof is an HMAC of `node:crypto`. To decrypt, the record's
 * proof must be decoded, and compared in constant time. The handler also has to parse the JSON of the context and the
 * proof.
 * @param context the context in JSON. Empty in the library, where the context is an object.
 */
function leastWork(context: string): Readonly<Record<(typeof OPERATIONS)[number], () => unknown>> {
  const key = createSecretKey(randomBytes(32));
  const message = randomBytes(MESSAGE_BYTES);
  const proof = createHmac('sha256', key).update(message).digest('base64');
  const parsed = context && context.replace('{', `{"Proof":"${proof}",`);
  const both = Buffer.alloc(64);
  const [given, expected] = [both.subarray(0, 32), both.subarray(32)];
  return {
    encrypt: () => [context && JSON.parse(context), createHmac('sha256', key).update(message).digest('base64')],
    decrypt: () => {
      if (parsed !== '') JSON.parse(parsed);
      both.write(proof, 'base64');
      both.write(createHmac('sha256', key).update(message).digest('binary'), 32, 'latin1');
      return timingSafeEqual(given, expected);
    },
  };
}
