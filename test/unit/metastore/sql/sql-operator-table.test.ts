import { describe, expect, it } from 'vitest';
import { encodeKeyRecord } from '../../../../src/metastore/sql/key-record.ts';
import { SqlOperatorTable } from '../../../../src/metastore/sql/sql-operator-table.ts';
import { keyRecord } from '../../../../src/testing/key-record.ts';

const OLD = keyRecord('_IK_tenant_svc_prod', 60);
const NEW = keyRecord('_IK_tenant_svc_prod', 120);
const PROOF = Buffer.alloc(32, 7);

/**
 * An operator's table over rows in memory, the latest first, as a database returns them.
 * @param overtakes how many times another process changes the row just before it is written
 */
function tableOf(rows = [NEW, OLD], { overtakes = 0 } = {}) {
  const texts = new Map(rows.map((row) => [row.created as number, encodeKeyRecord(row)]));
  const seen = { writes: 0, rows: 0 };
  const selected: string[] = [];
  const page = () => [...texts].map(([created, text]) => ({ id: OLD.id, date: String(created), created, text }));
  const table = {
    select: async ({ id, created }: { id: string; created?: number }) => {
      selected.push(id);
      const found = id === OLD.id ? page().filter((row) => created === undefined || row.created === created) : [];
      seen.rows += found.length;
      return found;
    },
    page: async () => page(),
    replace: async (_id: string, { created, text: from }: { created: number; text: string }, to: string) => {
      seen.writes += 1;
      if (seen.writes <= overtakes) texts.set(created, `${texts.get(created)} `);
      if (texts.get(created) !== from) return false;
      texts.set(created, to);
      return true;
    },
  };
  return { seen, texts, selected, operator: new SqlOperatorTable({ called: 'PostgreSQL', table } as never) };
}

describe("an operator's table in SQL", () => {
  it('finds the latest key, and the key with a given date, but no other key', async () => {
    const { operator, selected } = tableOf();
    expect(await operator.place()).toEqual({ table: 'encryption_key', region: 'PostgreSQL' });
    expect(await operator.find(OLD.id, 'latest')).toEqual(NEW);
    expect(await operator.find(OLD.id, 60)).toEqual(OLD);
    expect(await operator.find(OLD.id, 61)).toBeUndefined();
    expect(await operator.find('', 'latest')).toBeUndefined();
    expect(await operator.list()).toEqual([NEW, OLD]);
    // The table is not asked for an ID that no row can have.
    expect(selected).toEqual([OLD.id, OLD.id, OLD.id]);
  });

  it('revokes only the key with the given date', async () => {
    const { operator, texts, seen } = tableOf();
    expect(await operator.revoke(OLD)).toBe('revoked');
    expect(JSON.parse(texts.get(60) ?? '')).toEqual({ ...(JSON.parse(encodeKeyRecord(OLD)) as object), Revoked: true });
    expect(texts.get(120)).toBe(encodeKeyRecord(NEW));
    expect(seen.writes).toBe(1);
  });

  it('reports that a key does not exist, and writes nothing', async () => {
    const { operator, seen } = tableOf([NEW]);
    expect([await operator.revoke(OLD), seen.writes]).toEqual(['absent', 0]);
  });

  it('sends nothing for an ID that no row can have', async () => {
    const { operator, selected } = tableOf();
    const impossible = keyRecord('', 60);
    expect(await operator.revoke(impossible)).toBe('absent');
    expect(await operator.prove(impossible, PROOF)).toBe('changed');
    expect(await operator.find(impossible.id, 60)).toBeUndefined();
    expect(await operator.list(impossible.id)).toEqual([]);
    expect(selected).toEqual([]);
  });

  it('tries a revocation at most three times if another process keeps changing the row', async () => {
    const twice = tableOf(undefined, { overtakes: 2 });
    expect([await twice.operator.revoke(OLD), twice.seen.writes]).toEqual(['revoked', 3]);
    const often = tableOf(undefined, { overtakes: 3 });
    await expect(often.operator.revoke(OLD)).rejects.toMatchObject({
      code: 'MetastoreUnavailable',
      message: 'The metastore does not answer.',
      cause: new Error('PostgreSQL table encryption_key: other processes keep changing the row'),
    });
    expect(often.seen.writes).toBe(3);
  });

  it('reads only the row to which it adds a proof', async () => {
    const rows = Array.from({ length: 100 }, (_, i) => keyRecord(OLD.id, 60 * (i + 1)));
    const { operator, seen } = tableOf(rows);
    for (const row of rows) expect(await operator.prove(row, PROOF)).toBe('proven');
    expect(seen.rows).toBe(100);
  });

  it('writes a proof only to a row that has no proof and whose sealed key is unchanged', async () => {
    const { operator, texts, seen } = tableOf();
    expect(await operator.prove({ ...OLD, encryptedKey: Buffer.from('other') }, PROOF)).toBe('changed');
    expect([await operator.prove(OLD, PROOF), seen.writes]).toEqual(['proven', 1]);
    expect(texts.get(60)).toBe(encodeKeyRecord({ ...OLD, proof: PROOF }));
    expect([await operator.prove(OLD, PROOF), seen.writes]).toEqual(['changed', 1]);
    expect(await operator.prove(keyRecord(OLD.id, 61), PROOF)).toBe('changed');
    const overtaken = tableOf(undefined, { overtakes: 1 });
    expect(await overtaken.operator.prove(OLD, PROOF)).toBe('changed');
  });
});
