import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeCompactRecord,
  decodeDataRowRecord,
  encodeDataRowRecord,
  type DataRowRecord,
  type KeyMeta,
} from '../../src/index.ts';
import { noDeadline } from '../support/fakes.ts';
import { operate } from '../support/operations.ts';
import { ASHERAHS } from './asherah.ts';
import { pythonOf } from './install.ts';
import { AWS_ENVIRONMENT, startDynamoDbLocal, type PeerServer } from './processes.ts';
import { shareTable, type SharedTable } from './shared-table.ts';

const run = promisify(execFile);
const COMPACT_RECORD = new URL('../../docs/reference/formats.md', import.meta.url);
const DAY_MS = 86_400_000;
const PAYLOAD = Buffer.from('payload, and \u{1f511}');

let dynamoDb: PeerServer;

beforeAll(async () => {
  Object.assign(process.env, AWS_ENVIRONMENT);
  dynamoDb = await startDynamoDbLocal();
});
afterAll(() => dynamoDb.stop());

const CASES = ASHERAHS.flatMap((core) =>
  (['without', 'with'] as const).map((suffix) => ({ core, suffix, regionSuffix: suffix === 'with' })),
);

describe.for(CASES)('Keyfold and Asherah $core ($suffix a region suffix)', ({ core, regionSuffix }) => {
  it("read each other's records under keys that Asherah created", async () => {
    const { asherah, keyfold } = await together();
    await using peer = await asherah();
    const theirs = await peer.encrypt('tenant', PAYLOAD);
    expect(await keyfold().session('tenant').decryptJson(theirs)).toEqual(PAYLOAD);

    const ours = await keyfold().session('tenant').encrypt(PAYLOAD);
    expect(ours.key.parent).toEqual(decodeDataRowRecord(theirs).key.parent);
    expect(await peer.decrypt('tenant', encodeDataRowRecord(ours))).toEqual(PAYLOAD);
  });

  it("read each other's records under keys that Keyfold created", async () => {
    const { asherah, keyfold } = await together();
    const ours = await keyfold().session('tenant').encrypt(PAYLOAD);
    await using peer = await asherah();
    expect(await peer.decrypt('tenant', encodeDataRowRecord(ours))).toEqual(PAYLOAD);

    const theirs = await peer.encrypt('tenant', Buffer.alloc(0));
    expect(decodeDataRowRecord(theirs).key.parent).toEqual(ours.key.parent);
    expect(await keyfold().session('tenant').decryptJson(theirs)).toEqual(Buffer.alloc(0));
  });

  it('still read old records after either of them has rotated the keys', async () => {
    const { asherah, keyfold } = await together();
    const ours = await keyfold({ offsetMs: -100 * DAY_MS })
      .session('tenant')
      .encrypt(PAYLOAD);
    await using peer = await asherah();
    const theirs = await peer.encrypt('tenant', PAYLOAD);
    expect(decodeDataRowRecord(theirs).key.parent.created).toBeGreaterThan(ours.key.parent.created);
    expect(await peer.decrypt('tenant', encodeDataRowRecord(ours))).toEqual(PAYLOAD);

    const later = keyfold({ offsetMs: 100 * DAY_MS }).session('tenant');
    const rotated = await later.encrypt(PAYLOAD);
    expect(rotated.key.parent.created).toBeGreaterThan(decodeDataRowRecord(theirs).key.parent.created);
    await using fresh = await asherah();
    for (const record of [ours, decodeDataRowRecord(theirs), rotated]) {
      expect(await later.decrypt(record)).toEqual(PAYLOAD);
      expect(await fresh.decrypt('tenant', encodeDataRowRecord(record))).toEqual(PAYLOAD);
    }
  });

  it.for(['intermediate', 'system'] as const)(
    'use a new %s key after the old one is revoked, and still read old records',
    async (kind) => {
      const table = await together();
      const { asherah, keyfold } = table;
      const old = await keyfold({ offsetMs: -2 * DAY_MS })
        .session('tenant')
        .encrypt(PAYLOAD);
      await revoke(table, kind, old);
      const ours = await keyfold({ offsetMs: -DAY_MS }).session('tenant').encrypt(PAYLOAD);
      expect(ours.key.parent.created).toBeGreaterThan(old.key.parent.created);
      await revoke(table, kind, ours);
      await using peer = await asherah();
      const theirs = await peer.encrypt('tenant', PAYLOAD);
      // Asherah Rust does not check the System Key of a cached Intermediate Key.
      const goesOn = core === 'rust' && kind === 'system';
      const { created } = decodeDataRowRecord(theirs).key.parent;
      expect(created > ours.key.parent.created).toBe(!goesOn);
      for (const record of [old, ours, decodeDataRowRecord(theirs)]) {
        expect(await keyfold().session('tenant').decrypt(record)).toEqual(PAYLOAD);
        expect(await peer.decrypt('tenant', encodeDataRowRecord(record))).toEqual(PAYLOAD);
      }
    },
  );

  it('read records that Keyfold has rewrapped', async () => {
    const { asherah, keyfold } = await together();
    const old = await keyfold({ offsetMs: -100 * DAY_MS })
      .session('tenant')
      .encrypt(PAYLOAD);
    const { record, rewrapped } = await keyfold().session('tenant').rewrap(old);
    expect(rewrapped).toBe(true);
    await using peer = await asherah();
    expect(await peer.decrypt('tenant', encodeDataRowRecord(record))).toEqual(PAYLOAD);
  });

  it('read an encrypted field after the script in docs/reference/formats.md has converted it to a record', async () => {
    const { asherah, keyfold } = await together();
    const { ask } = operate(keyfold());
    const number = '12345678901234567890.0';
    const sealed = await ask('encrypt-fields', `{"document":{"card":${number}},"fields":["$.card"]}`, 'tenant');
    const { document } = JSON.parse(sealed) as { document: { card: string } };
    const [, lines = ''] = /```python\n(.*?)```/s.exec(await readFile(COMPACT_RECORD, 'utf8')) ?? [];
    const { stdout } = await run(pythonOf('asherah-go'), ['-c', lines, document.card]);
    await using peer = await asherah();
    expect(String(await peer.decrypt('tenant', stdout))).toBe(number);
    expect(decodeDataRowRecord(stdout)).toEqual(decodeCompactRecord(document.card).record);
  });

  const together = (): Promise<SharedTable> => shareTable(dynamoDb.endpoint, { core, regionSuffix });
});

/** Revokes the record's Intermediate Key, or that key's System Key. */
async function revoke(table: SharedTable, kind: 'intermediate' | 'system', record: DataRowRecord): Promise<void> {
  const { id, created } = record.key.parent as KeyMeta;
  const intermediate = await table.metastore.load(id, created, noDeadline());
  const key = kind === 'intermediate' ? intermediate : intermediate?.parent;
  if (key === undefined) throw new Error('the key is gone');
  await table.change(key, ({ KeyRecord }) => Object.assign(KeyRecord?.M ?? {}, { Revoked: { BOOL: true } }));
}
