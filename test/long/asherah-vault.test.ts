/** Exchanges records and key rows with Asherah's Rust core in its Vault mode, on a real OpenBao server. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  decodeDataRowRecord,
  MemoryMetastore,
  parseEpochSeconds,
  parseKeyId,
  SessionFactory,
  type Session,
} from '../../src/index.ts';
import { VaultKms } from '../../src/kms/vault/index.ts';
import { buildAsherahVault, startAsherahVault } from '../peers/asherah-vault.ts';
import { OpenBao, ROOT } from '../peers/openbao.ts';

const PAYLOAD = Buffer.from('shared');
let bao: OpenBao;

beforeAll(async () => {
  await buildAsherahVault();
  bao = await OpenBao.start();
  await bao.write('transit/keys/shared', {});
}, 3_600_000);
afterAll(() => bao.stop());

describe.each(['asherah', 'keyfold'] as const)('with key rows that %s has created', (first) => {
  it("Asherah's Rust core and Keyfold open each other's records", async () => {
    const names = { service: `${first}-first`, product: 'vault' };
    await using asherah = startAsherahVault({ ...names, address: bao.url, token: ROOT, transitKey: 'shared' });
    const metastore = new MemoryMetastore();
    const keyfold = (): Session => {
      const auth = { method: 'token', token: ROOT } as const;
      const kms = new VaultKms({ addresses: [bao.url], transitKey: 'shared', auth });
      return new SessionFactory({ ...names, metastore, kms }).session('tenant');
    };
    const byAsherah = (): Promise<string> => asherah.encrypt('tenant', PAYLOAD);
    const byKeyfold = (): Promise<string> => keyfold().encryptToJson(PAYLOAD);
    const earlier = first === 'asherah' ? await byAsherah() : await byKeyfold();
    const { id, created } = decodeDataRowRecord(earlier).key.parent;
    const parent = { id: parseKeyId(id), created: parseEpochSeconds(created) };
    const systemKeyId = parseKeyId(`_SK_${names.service}_${names.product}`);
    if (first === 'asherah') {
      const row = await asherah.load(parent);
      await metastore.store(row);
      const systemKey = { id: systemKeyId, created: row.parent?.created ?? parent.created };
      await metastore.store(await asherah.load(systemKey));
    } else {
      for (const keyId of [systemKeyId, parent.id]) {
        const row = await metastore.loadLatest(keyId);
        if (row !== undefined) await asherah.store(row);
      }
    }
    const later = first === 'asherah' ? await byKeyfold() : await byAsherah();
    const systemKey = await metastore.loadLatest(systemKeyId);
    expect(Buffer.from(systemKey?.encryptedKey ?? []).toString()).toMatch(/^vault:v1:/);
    for (const record of [earlier, later]) {
      // The program that runs second uses the keys of the first, instead of making its own.
      expect(decodeDataRowRecord(record).key.parent).toEqual(parent);
      expect(await asherah.decrypt('tenant', record)).toEqual(PAYLOAD);
      expect(await keyfold().decryptJson(record)).toEqual(PAYLOAD);
    }
  });
});
