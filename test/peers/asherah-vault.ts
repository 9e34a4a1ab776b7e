import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';
import type { EnvelopeKeyRecord, KeyMeta } from '../../src/index.ts';
import { PEERS_FOLDER } from './peers-folder.ts';
import { end } from './processes.ts';

const TARGET = join(PEERS_FOLDER, 'asherah-rust-vault');

/**
 * Builds Asherah's Rust crate with its Vault KMS, which its Python package lacks. The first build takes about 20
 * minutes on two cores. Later builds are fast, because Cargo skips what it has already built.
 */
export async function buildAsherahVault(): Promise<void> {
  const manifest = join(import.meta.dirname, 'rust-vault', 'Cargo.toml');
  const options = ['--quiet', '--locked', '--release', '--manifest-path', manifest, '--target-dir', TARGET];
  await promisify(execFile)('cargo', ['build', ...options]);
}

/** What an Asherah process with Vault needs. */
export interface AsherahVaultOptions {
  readonly address: string;
  readonly token: string;
  readonly transitKey: string;
  readonly service: string;
  readonly product: string;
}

/** A process with Asherah's Rust crate, its Vault KMS and its in-memory metastore. */
export interface AsherahVault extends AsyncDisposable {
  encrypt(partition: string, payload: Uint8Array): Promise<string>;
  decrypt(partition: string, record: string): Promise<Buffer>;
  /** The row of a key. */
  load(meta: KeyMeta): Promise<EnvelopeKeyRecord>;
  store(record: EnvelopeKeyRecord): Promise<void>;
}

/** A row in the form in which Asherah's metastores store it. The process sends rows in the same form. */
interface Row {
  readonly Created: number;
  readonly Key: string;
  readonly Revoked?: boolean | null;
  readonly ParentKeyMeta?: { readonly KeyId: string; readonly Created: number } | null;
}

/** Starts Asherah in its own process. */
export function startAsherahVault(options: AsherahVaultOptions): AsherahVault {
  const { address, token, transitKey, service, product } = options;
  const program = join(TARGET, 'release', 'asherah-vault-peer');
  const child = spawn(program, [address, transitKey, service, product], {
    env: { VAULT_TOKEN: token },
    stdio: ['pipe', 'pipe', 'inherit'],
  });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const endOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', endOnExit);
  const ask = async <T>(call: object): Promise<T> => {
    child.stdin.write(`${JSON.stringify(call)}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error('Asherah has ended');
    const answer = JSON.parse(value) as { ok?: T; error?: string };
    if (answer.error !== undefined) throw new Error(`Asherah: ${answer.error}`);
    return answer.ok as T;
  };
  return {
    encrypt: (partition, payload) =>
      ask({ op: 'encrypt', partition, payload: Buffer.from(payload).toString('base64') }),
    decrypt: async (partition, record) =>
      Buffer.from(await ask<string>({ op: 'decrypt', partition, record }), 'base64'),
    load: async ({ id, created }) => {
      const row = await ask<Row | null>({ op: 'load', id, created });
      if (row === null) throw new Error(`Asherah has no row ${id}`);
      const { Key, Revoked, ParentKeyMeta } = row;
      const parent = ParentKeyMeta && ({ id: ParentKeyMeta.KeyId, created: ParentKeyMeta.Created } as KeyMeta);
      return {
        id,
        created,
        encryptedKey: Buffer.from(Key, 'base64'),
        revoked: Revoked ?? false,
        ...(parent && { parent }),
      };
    },
    store: async ({ id, created, encryptedKey, parent, revoked }) => {
      const ParentKeyMeta = parent && { KeyId: parent.id, Created: parent.created };
      const row = {
        Created: created,
        Key: Buffer.from(encryptedKey).toString('base64'),
        Revoked: revoked,
        ParentKeyMeta,
      };
      if (!(await ask<boolean>({ op: 'store', id, row }))) throw new Error(`Asherah has the row ${id} already`);
    },
    [Symbol.asyncDispose]: async () => {
      process.off('exit', endOnExit);
      await end(child);
    },
  };
}
