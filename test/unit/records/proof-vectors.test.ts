/** Tests the published vectors of the proofs. test/vectors/check_proofs.py computes the same vectors in Python. */
import { createSecretKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { EnvelopeKey } from '../../../src/envelope/envelope-key.ts';
import { standingOf } from '../../../src/envelope/key-standing.ts';
import type { EnvelopeKeyRecord, Erasure } from '../../../src/index.ts';
import { metaOf, TOMBSTONE_CREATED, type KeyMeta } from '../../../src/records/ids.ts';
import { bindingOf, recordProof, type RecordContext, type RecordForm } from '../../../src/records/record-proof.ts';
import { rowProof, rowProofKey } from '../../../src/records/row-proof.ts';
import { operate } from '../../support/operations.ts';

/** Keys, sealed values and proofs are hexadecimal. */
interface RecordVector {
  readonly name: string;
  readonly dataRowKey: string;
  readonly form: RecordForm;
  readonly path: string;
  readonly context: RecordContext;
  readonly sealed: string;
  readonly proof: string;
}

/** A System Key under KMS has `dataKey`, from which the proof's key is derived. Other rows have `key`. */
interface RowVector extends KeyMeta {
  readonly name: string;
  readonly kind: 'system' | 'intermediate' | 'erased';
  readonly dataKey?: string;
  readonly key?: string;
  readonly parent: KeyMeta | null;
  readonly sealed: string;
  readonly proof: string;
}

const file = new URL('../../vectors/proofs.json', import.meta.url);
/** The names and indexes on the way to a field, and the field's path with and without wildcards for the indexes. */
interface PathVector {
  readonly name: string;
  readonly steps: readonly (string | number)[];
  readonly path: string;
  readonly exactPath: string;
}

const { recordProofs, rowProofs, paths, contextValues } = JSON.parse(readFileSync(file, 'utf8')) as {
  recordProofs: RecordVector[];
  rowProofs: RowVector[];
  paths: PathVector[];
  contextValues: { name: string; json: string; text: string }[];
};
const CONTEXT = { id: '42' };
const bytes = (hex = ''): Buffer => Buffer.from(hex, 'hex');

it.for(recordProofs)(
  'recordProof computes the proof of the vector "$name"',
  ({ dataRowKey, form, path, context, sealed, proof }) => {
    const binding = bindingOf(context, { form, path });
    expect(recordProof(createSecretKey(bytes(dataRowKey)), binding, bytes(sealed)).toString('hex')).toBe(proof);
  },
);

it.for(rowProofs)(
  'rowProof computes the proof of the vector "$name"',
  ({ kind, dataKey, key, id, created, parent, sealed, proof }) => {
    const secret = dataKey === undefined ? bytes(key) : rowProofKey(bytes(dataKey));
    const row = { id, created, parent: parent ?? undefined, sealed: bytes(sealed) };
    expect(rowProof(createSecretKey(secret), kind, row).toString('hex')).toBe(proof);
  },
);

it.for(paths)('encrypt-fields binds a field to the path of the vector "$name"', async ({ steps, path, exactPath }) => {
  const { answer } = operate();
  const documentText = steps.reduceRight<string>((inner, step) => {
    if (typeof step === 'string') return `{${JSON.stringify(step)}:${inner}}`;
    return `[${'0,'.repeat(step)}${inner}]`;
  }, '1');
  const fields = [`$${steps.map((step) => `[${JSON.stringify(step)}]`).join('')}`];
  for (const [bindPath, expected] of [
    [undefined, path],
    ['exact', exactPath],
  ]) {
    const request = { documentText, fields, context: CONTEXT, bindPath };
    const { documentText: text } = await answer('encrypt-fields', request);
    const [, record] = /"(kf2j[^"]*)"/.exec(text as string) ?? [];
    expect(await answer('decrypt', { record, context: CONTEXT, path: expected })).toEqual({ plaintext: 'MQ==' });
  }
});

it.for(contextValues)('contextFrom reads $name as the published vector says', async ({ json, text }) => {
  const { answer } = operate();
  const request = { documentText: `{"s":1,"v":${json}}`, fields: ['$.s'], contextFrom: { v: '$.v' } };
  const { documentText } = await answer('encrypt-fields', request);
  const { s: record } = JSON.parse(documentText as string) as { s: string };
  expect(await answer('decrypt', { record, context: { v: text }, path: "$['s']" })).toEqual({ plaintext: 'MQ==' });
});

it('the proof of a tombstone is equal to the erasure vector', () => {
  const vector = rowProofs.find(({ kind }) => kind === 'erased') as RowVector & { parent: KeyMeta };
  const parent = new EnvelopeKey(bytes(vector.key), 0, standingOf({ ...vector.parent } as EnvelopeKeyRecord, 0));
  const row = { ...metaOf(vector), parent: vector.parent, encryptedKey: Buffer.alloc(60) };
  const erasure = { erase: '0b0f5d6e-5f0a-4c0e-9a55-3d2f6f0c1a77', at: 1_795_532_520, due: 1_796_137_320 };
  expect(vector.created).toBe(TOMBSTONE_CREATED);
  expect(parent.proofOfErasure(row, erasure as Erasure).toString('hex')).toBe(vector.proof);
});

it('the vectors are those that docs/reference/formats.md publishes', () => {
  const page = readFileSync(new URL('../../../docs/reference/formats.md', import.meta.url), 'utf8');
  const published = [...page.matchAll(/\b[0-9a-f]{64}\b/g)].map(([hex]) => hex);
  const proofs = new Set([...recordProofs, ...rowProofs].map(({ proof }) => proof));
  expect(published.length).toBeGreaterThan(2);
  expect(published.filter((hex) => !proofs.has(hex))).toEqual([]);
});
