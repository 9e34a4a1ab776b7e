import { SIZE_NAMES } from './figures.ts';
import { HOSTILE_SHAPES } from './hostile.ts';
import type { SectionName } from './sections.ts';

/** The limit for a figure, in the figure's unit. */
export type Budget = { readonly atLeast: number } | { readonly atMost: number } | { readonly exactly: string };

/** The budgets, by section and figure name. `npm run bench -- --check` fails if a figure misses its budget. */
export const BUDGETS: Readonly<Record<SectionName, Readonly<Record<string, Budget>>>> = {
  library: each(['encrypt', 'decrypt'], () => ({ atLeast: 0.9 })),
  handler: {
    "encrypt 64 B against the raw envelope's time": { atMost: 2.5 },
    "decrypt 64 B against the raw envelope's time": { atMost: 2.5 },
    "encrypt 1 KiB against the raw envelope's time": { atMost: 2.5 },
    "decrypt 1 KiB against the raw envelope's time": { atMost: 2.5 },
    "encrypt 64 KiB against the raw envelope's time": { atMost: 2 },
    "decrypt 64 KiB against the raw envelope's time": { atMost: 2 },
    "encrypt 1 MiB against the raw envelope's time": { atMost: 2.5 },
    "decrypt 1 MiB against the raw envelope's time": { atMost: 2.5 },
    "encrypt-fields of 20 values against 20 raw envelopes' time": { atMost: 2 },
    // A shared Data Row Key can save little more than these budgets require. Even a call with its own Data Row Key
    // takes only slightly more than twice as long as the cipher alone.
    'a batch of 1,000 × 256 B that shares a Data Row Key against 1,000 calls': { atLeast: 2 },
    'a batch of 1,000 × 64 B that shares a Data Row Key against one that does not': { atLeast: 1.7 },
  },
  context: {
    'library: encrypt 64 B with a context against without': { atMost: 1.5 },
    'library: decrypt 64 B with a context against without': { atMost: 1.5 },
    'handler: encrypt 64 B with a context against without': { atMost: 1.2 },
    ...context('library'),
    ...context('handler'),
  },
  queue: {
    // The budget is low, because native keys stay in memory longer when the queue door uses them. Freeing them then
    // costs more time.
    'against the door without crypto and the same crypto by itself': { atLeast: 0.5 },
  },
  verify: Object.fromEntries(
    ['64 B', '1 KiB', '64 KiB'].map((size) => [
      `records of ${size} a second, as a share of decryptJson's`,
      { atLeast: 0.5 },
    ]),
  ),
  // Re-encrypting a file has no budget. Reading and writing a file is so cheap that the ratio would mostly show the
  // cost of the cryptography.
  reencrypt: {
    "rows of 64 B in DynamoDB a second, as a share of a copy's": { atLeast: 0.6 },
    "rows of 64 B in PostgreSQL a second, as a share of a copy's": { atLeast: 0.6 },
  },
  // Four times the input should take four times as long, plus garbage collection. If the time grew quadratically, it
  // would be 16 times as long.
  'hostile input': Object.fromEntries(HOSTILE_SHAPES.map((name) => [name, { atMost: 8 }])),
  contestants: {
    ...each(['encrypt against AWS Encryption SDK', 'decrypt against AWS Encryption SDK'], (size) => ({
      atLeast: size === '1 MiB' ? 5 : 30,
    })),
    ...each(['encrypt against jose', 'decrypt against jose'], (size) => ({ atLeast: size === '1 MiB' ? 3 : 10 })),
    ...each(['encrypt against Asherah Go', 'decrypt against Asherah Go'], () => ({ atLeast: 3 })),
    'encrypt against Asherah Rust 64 KiB': { atLeast: 1 },
    'decrypt against Asherah Rust 64 KiB': { atLeast: 1 },
    'encrypt against Asherah Rust 1 MiB': { atLeast: 1 },
    'decrypt against Asherah Rust 1 MiB': { atLeast: 1 },
  },
  calls: {
    'a new partition under a warm System Key': { exactly: '1 Query, 1 Put' },
    'encrypt for a known partition, its key cold': { exactly: '1 Query' },
    'decrypt for a known partition, its key cold': { exactly: '1 Get' },
    'hot encrypt and decrypt': { exactly: 'none' },
    'KMS calls for 10,000 partitions and 1,000,000 operations in one process': { exactly: '1' },
  },
  vault: {
    'a load against a call with fetch': { atMost: 1.3 },
    'an unwrap against a call with fetch': { atMost: 1.3 },
    'an unwrap against a call with node:http': { atMost: 1.3 },
  },
  'cold start': {
    "CPU of loading the api's bundle against esbuild's own": { atMost: 0.5 },
    "what the api's bundle loads before the first request": { atMost: 320 },
  },
  memory: {
    'a cached Intermediate Key': { atMost: 1.5 },
    'partitions held of 100,000, with room for all': { exactly: '100000' },
    'partitions held of 100,000, with room for 10,000': { exactly: '10000' },
    // The keys of all 100,000 partitions would need about 120 MB. A figure below the budget shows that V8 frees the
    // keys that the cache evicts.
    'memory of 100,000 partitions, with room for 10,000': { atMost: 48 },
    // Heap size fluctuates by a few megabytes. A leak would add more than this limit.
    'growth of resident memory, second quarter to last': { atMost: 8 },
  },
};

function each(what: readonly string[], budget: (size: string) => Budget): Record<string, Budget> {
  return Object.fromEntries(
    what.flatMap((name) => SIZE_NAMES.map((size) => [`${name} ${size}`, budget(size)] as const)),
  );
}

/** A context may cost little more than its least work, such as the HMAC of its proof. */
function context(subject: string): Record<string, Budget> {
  return Object.fromEntries(
    ['64 B', '64 KiB'].flatMap((size) =>
      ['encrypt', 'decrypt'].map((operation) => {
        const name = `${subject}: ${operation} ${size} with a context against without, plus its least work`;
        return [name, { atMost: 1.15 }] as const;
      }),
    ),
  );
}
