import { randomBytes } from 'node:crypto';
import { MemoryMetastore, SessionFactory, StaticKms, type Session } from '../src/index.ts';
import type { Contestant } from './contestants/contestant.ts';

/** A session of the library that uses a memory metastore. */
export function openSession(): Session {
  return new SessionFactory({
    service: 'bench',
    product: 'keyfold',
    metastore: new MemoryMetastore(),
    kms: new StaticKms(randomBytes(32), process.env),
  }).session('partition');
}

/** Keyfold's library as a contestant, with a warm cache. It turns bytes into JSON text and back. */
export function openKeyfold(): Contestant<string> {
  const session = openSession();
  return {
    encrypt: (plaintext) => session.encryptToJson(plaintext),
    decrypt: (record) => session.decryptJson(record),
  };
}
