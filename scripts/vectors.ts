/**
 * Runs interoperability vectors (docs/reference/formats.md) through the library: `npm run -s vectors -- FILE…`. It
 * prints each failure and a final count, and exits with 1 if a vector failed.
 */
import { readFile } from 'node:fs/promises';
import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import * as v from 'valibot';
import { dataRowRecordFromValue, KeyfoldError, MemoryMetastore, SessionFactory, StaticKms } from '../src/index.ts';
import type { EnvelopeKeyRecord } from '../src/index.ts';
import { decodeKeyItem, type KeyItem } from '../src/metastore/dynamodb-item.ts';

const caseSchema = v.object({
  name: v.string(),
  session: v.object({
    service: v.string(),
    product: v.string(),
    partition: v.string(),
    region_suffix: v.nullish(v.string()),
  }),
  expect: v.picklist(['ok', 'error']),
  plaintext_base64: v.optional(v.string()),
  drr: v.unknown(),
  tags: v.nullish(v.array(v.string())),
});
const recordSchema = v.object({
  Key: v.object({ Key: v.string(), ParentKeyMeta: v.object({ KeyId: v.string() }) }),
  Data: v.string(),
});
const fileSchema = v.object({
  groups: v.array(
    v.object({
      name: v.string(),
      static_master_key: v.string(),
      metastore_rows: v.array(v.custom<KeyItem>((row) => typeof row === 'object' && row !== null)),
      cases: v.array(caseSchema),
    }),
  ),
});

type Case = v.InferOutput<typeof caseSchema>;
type Group = v.InferOutput<typeof fileSchema>['groups'][number];

/** The result of a case. If the case failed, it includes the reason. */
type Verdict = 'passed' | 'skipped' | { readonly failed: string };

/**
 * A metastore that holds the rows of a group. As in a real table, every read of an ID fails if one of its rows cannot
 * be parsed.
 */
class VectorMetastore extends MemoryMetastore {
  readonly #unreadable = new Map<string | undefined, unknown>();

  async fill(rows: readonly KeyItem[]): Promise<void> {
    for (const row of rows) {
      const record = this.#decode(row);
      if (record !== undefined) await this.store(record);
    }
  }

  override async load(...[id, created]: Parameters<MemoryMetastore['load']>): Promise<EnvelopeKeyRecord | undefined> {
    const found = await super.load(id, created);
    if (found === undefined && this.#unreadable.has(id)) throw this.#unreadable.get(id);
    return found;
  }

  #decode(row: Record<string, AttributeValue>): EnvelopeKeyRecord | undefined {
    try {
      return decodeKeyItem(row);
    } catch (error) {
      this.#unreadable.set(row['Id']?.S, error);
      return undefined;
    }
  }
}

async function run(group: Group, vector: Case): Promise<Verdict> {
  const service = await serviceOf(group, vector);
  const opened = await open(service, vector);
  const wasRefused = typeof opened === 'string';
  if (vector.tags?.includes('go-lenient') === true) {
    if (!isRefusedBySpec(vector)) return 'skipped';
    return wasRefused ? 'passed' : { failed: 'opened, and must be refused although Asherah Go opens it' };
  }
  if (vector.expect === 'error') return wasRefused ? 'passed' : { failed: 'opened, and should have been refused' };
  if (wasRefused) return { failed: `refused: ${opened}` };
  return opened.toString('base64') === vector.plaintext_base64 ? 'passed' : { failed: 'opened to another plaintext' };
}

/**
 * Creates the service for a case, on the rows of its group. Throws if the configuration is invalid, because an invalid
 * configuration does not show that the library refuses the record.
 */
async function serviceOf(group: Group, { session }: Case): Promise<SessionFactory> {
  const metastore = new VectorMetastore();
  await metastore.fill(group.metastore_rows);
  return new SessionFactory({
    service: session.service,
    product: session.product,
    regionSuffix: session.region_suffix ?? undefined,
    allowAmbiguousNames: true,
    metastore,
    kms: new StaticKms(Buffer.from(group.static_master_key, 'latin1'), process.env),
  });
}

/**
 * Returns the plaintext, or the reason why the library refuses the record. Throws any other error, because it is a bug
 * in Keyfold.
 */
async function open(service: SessionFactory, { session, drr }: Case): Promise<Buffer | string> {
  try {
    return await service.session(session.partition).decrypt(dataRowRecordFromValue(drr));
  } catch (error) {
    if (error instanceof KeyfoldError) return error.code;
    throw error;
  }
}

/**
 * Whether the library must refuse a record that Asherah Go opens. Such a record names a key of another partition, or
 * its base64 is not canonical. This function does not use the library, because the library could be wrong.
 */
function isRefusedBySpec({ session, drr }: Case): boolean {
  const parsed = v.safeParse(recordSchema, drr);
  if (!parsed.success) return true;
  const { Key: key, Data: data } = parsed.output;
  const base = `_IK_${session.partition}_${session.service}_${session.product}`;
  const { region_suffix: suffix } = session;
  const suffixed = key.ParentKeyMeta.KeyId.slice(base.length);
  const isOwn =
    suffix === null || suffix === undefined
      ? suffixed === ''
      : /^(?:_[a-z]{2,4}(?:-[a-z]+){1,2}-\d{1,2})?$/.test(suffixed);
  const isCanonical = [key.Key, data].every((text) => Buffer.from(text, 'base64').toString('base64') === text);
  return !(key.ParentKeyMeta.KeyId.startsWith(base) && isOwn && isCanonical);
}

/** Reads the groups of a file. An unreadable file counts as a failure. */
async function readGroups(path: string): Promise<Group[]> {
  try {
    return v.parse(fileSchema, JSON.parse(await readFile(path, 'utf8'))).groups;
  } catch (error) {
    counts.failed += 1;
    console.log(`FAILED ${path}: ${error instanceof Error ? error.message : String(error)}`);
    return [];
  }
}

const counts = { passed: 0, failed: 0, skipped: 0 };
for (const path of process.argv.slice(2)) {
  for (const group of await readGroups(path)) {
    for (const vector of group.cases) {
      const verdict = await run(group, vector).catch((error: unknown): Verdict => ({
        failed: `broke: ${String(error)}`,
      }));
      counts[typeof verdict === 'string' ? verdict : 'failed'] += 1;
      if (typeof verdict !== 'string') console.log(`FAILED ${group.name}: ${vector.name}: ${verdict.failed}`);
    }
  }
}
console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
process.exitCode = counts.failed > 0 || counts.passed + counts.skipped === 0 ? 1 : 0;
