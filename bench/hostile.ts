/** Benchmark section: measures how the time for hostile input grows when the input is four times as large. */
import { formatTable, printable } from '../src/cli/text.ts';
import { decodeBase64 } from '../src/crypto/base64.ts';
import { decodeDataRowRecord } from '../src/records/data-row-record.ts';
import { isNestedTooDeeply, parseRequestJson } from '../src/records/json-depth.ts';
import { decodeKekEnvelope } from '../src/kms/kek-envelope.ts';
import { selectValues } from '../src/operations/field-paths.ts';
import { parseJsonPath } from '../src/operations/json-path.ts';
import { locateValues } from '../src/operations/json-text.ts';
import { race, timesAsLong } from './compare.ts';
import type { Figure, SectionResult } from './figures.ts';

/** Makes an input of the given size. Returns a function that reads the input. */
type Shape = (size: number) => () => unknown;

/** The hostile inputs, keyed by name. Each has the smaller of its two sizes. */
const SHAPES = {
  'a path of escapes': [40, (n) => () => parseJsonPath(`$["${'\\u0061'.repeat(n)}"]`)],
  'a path of nested calls in a filter': [120, (n) => () => parseJsonPath(`$[?${'f('.repeat(n)}@.a`)],
  'a document that descendants go through': [
    5000,
    (n) => {
      const root = locateValues(`[${`${'{"a":'.repeat(50)}1${'}'.repeat(50)},`.repeat(n / 50)}0]`);
      return () => selectValues(root, ['$..a..a..x'], { allowMissing: true });
    },
  ],
  'a document of members': [20_000, (n) => textReader(members(n), locateValues)],
  'a string of backslashes': [250_000, (n) => textReader(`["${'\\\\'.repeat(n)}"]`, isNestedTooDeeply)],
  'a body of brackets': [500_000, (n) => textReader('['.repeat(n), parseRequestJson)],
  'a body of members': [20_000, (n) => textReader(members(n), parseRequestJson)],
  'a record of payloads': [50_000, (n) => textReader(`{"a":1${',"Data":"x"'.repeat(n)}}`, decodeDataRowRecord)],
  'base64 that is not canonical': [250_000, (n) => textReader(`${'AAAA'.repeat(n)}AAB=`, decodeBase64)],
  'a key row of wraps': [
    1000,
    (n) => {
      const kmsKeks = Array.from({ length: n }, () => ({ region: 'us-west-2', arn: 'alias/x', encryptedKek: 'AAAA' }));
      const bytes = Buffer.from(JSON.stringify({ encryptedKey: 'AAAA', kmsKeks }));
      return () => decodeKekEnvelope(bytes);
    },
  ],
  'a table for an operator, one row of it long': [
    5000,
    (n) => {
      const rows = Array.from({ length: n }, (_, i) => [`_IK_tenant-${i}_s_p`, 'x'.repeat(i === 0 ? n : 1)]);
      return () => formatTable(['ID', 'PARENT'], rows);
    },
  ],
  'text of format characters': [20_000, (n) => textReader('\u202e'.repeat(n), printable)],
} as const satisfies Record<string, readonly [size: number, shape: Shape]>;

export const HOSTILE_SHAPES = Object.keys(SHAPES);

/** Measures each hostile input at its smaller size, and at four times that size. */
export async function measureHostileInput(): Promise<SectionResult> {
  const figures: Figure[] = [];
  for (const [name, [size, shape]] of Object.entries(SHAPES)) {
    const { once, fourfold } = await race(
      { once: unlessRefused(shape(size)), fourfold: unlessRefused(shape(4 * size)) },
      { rounds: 15, roundMs: 20 },
    );
    // Compare CPU time, because other load on the machine would hide a difference in wall-clock time.
    figures.push({ name, ...timesAsLong(fourfold, once, 'cpuMs'), unit: '×' });
  }
  return { figures };
}

function unlessRefused(read: () => unknown): () => unknown {
  return () => {
    try {
      return read();
    } catch {
      return undefined;
    }
  };
}

function textReader(text: string, read: (text: string) => unknown): () => unknown {
  return () => read(text);
}

function members(count: number): string {
  return JSON.stringify(Object.fromEntries(Array.from({ length: count }, (_, i) => [`m${i}`, i])));
}
