import { SIZE_NAMES } from './figures.ts';
import { HOSTILE_SHAPES } from './hostile.ts';
import type { SectionName } from './sections.ts';

/** What a figure must be. Numbers are in the figure's own unit. */
export type Budget = { readonly atLeast: number } | { readonly atMost: number } | { readonly exactly: string };

/** All budgets, by section and by the name of the figure that each is for. `npm run bench -- --check` holds figures to them. */
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
    // Without, it is bound by the cipher: a call takes little more than twice what that does.
    'a batch of 1,000 × 256 B that shares a Data Row Key against 1,000 calls': { atLeast: 2 },
    'a batch of 1,000 × 64 B that shares a Data Row Key against one that does not': { atLeast: 1.7 },
  },
  queue: {
    // Native keys live longer within the door, and are costlier to free.
    'against the door without crypto and the same crypto by itself': { atLeast: 0.5 },
  },
  // Four times the input: about four times as long, and garbage to collect. If it grew with the square, it would be sixteen.
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
  'cold start': {
    "CPU of loading the api's bundle against esbuild's own": { atMost: 0.5 },
    "what the api's bundle loads before the first request": { atMost: 320 },
  },
  memory: {
    'a cached Intermediate Key': { atMost: 1.5 },
    'partitions held of 100,000, with room for all': { exactly: '100000' },
    'partitions held of 100,000, with room for 10,000': { exactly: '10000' },
    // All would be some 120; what was evicted has been collected.
    'memory of 100,000 partitions, with room for 10,000': { atMost: 48 },
    // A heap's edges, not a leak.
    'growth of resident memory, second quarter to last': { atMost: 8 },
  },
};

function each(what: readonly string[], budget: (size: string) => Budget): Record<string, Budget> {
  return Object.fromEntries(
    what.flatMap((name) => SIZE_NAMES.map((size) => [`${name} ${size}`, budget(size)] as const)),
  );
}
