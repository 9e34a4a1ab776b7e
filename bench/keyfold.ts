import { randomBytes } from 'node:crypto';
import { decodeDataRowRecord, encodeDataRowRecord, MemoryMetastore, SessionFactory, StaticKms } from '../src/index.ts';

/** Keyfold's library as a contestant: a warm process, from bytes to JSON text and back. */
export function openKeyfold(): {
  encrypt: (plaintext: Uint8Array) => Promise<string>;
  decrypt: (record: string) => Promise<Buffer>;
} {
  const session = new SessionFactory({
    service: 'bench',
    product: 'keyfold',
    metastore: new MemoryMetastore(),
    kms: new StaticKms(randomBytes(32), process.env),
  }).session('partition');
  return {
    encrypt: async (plaintext) => encodeDataRowRecord(await session.encrypt(plaintext)),
    decrypt: (record) => session.decrypt(decodeDataRowRecord(record)),
  };
}
