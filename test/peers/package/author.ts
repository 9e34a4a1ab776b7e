/** Code of a plug-in author, and code that uses every entry. All of it must compile against the packed types. */
import {
  AwsKms,
  decryptBatch,
  decryptFields,
  DynamoDbMetastore,
  encryptBatch,
  encryptFields,
  KeyfoldError,
  MemoryMetastore,
  parseEpochSeconds,
  parseKeyId,
  SessionFactory,
  StaticKms,
  SystemKeyMaintenance,
  type DataRowRecord,
  type Deadline,
  type EnvelopeEvents,
  type EnvelopeKeyRecord,
  type EpochSeconds,
  type KeyId,
  type KeyManagementService,
  type KeyMeta,
  type Metastore,
  type Unwrapped,
} from 'keyfold';
import { KeyfoldClient, type JsonRecord, type KeyfoldClientOptions } from 'keyfold/client';
import { defaultCredentials } from 'keyfold/client/default-credentials';
import { LambdaTransport } from 'keyfold/client/lambda';
import { MySqlMetastore, type MySqlPool } from 'keyfold/mysql';
import { Pkcs11Kms, type Pkcs11KmsOptions } from 'keyfold/pkcs11';
import { PostgresMetastore, type PostgresPool } from 'keyfold/postgres';
import { HandClock, kmsContract, metastoreContract, type ContractCase } from 'keyfold/testing';
import { VaultKms, type VaultKmsOptions } from 'keyfold/vault';

export class MapMetastore implements Metastore {
  readonly #rows = new Map<string, EnvelopeKeyRecord>();

  async load(id: KeyId, created: EpochSeconds, _deadline: Deadline): Promise<EnvelopeKeyRecord | undefined> {
    return this.#rows.get(`${id} ${created}`);
  }

  async loadLatest(id: KeyId): Promise<EnvelopeKeyRecord | undefined> {
    let latest: EnvelopeKeyRecord | undefined;
    for (const row of this.#rows.values()) {
      if (row.id === id && row.created > (latest?.created ?? -1)) latest = row;
    }
    return latest;
  }

  async store(record: EnvelopeKeyRecord): Promise<'stored' | 'duplicate'> {
    const name = `${record.id} ${record.created}`;
    if (this.#rows.has(name)) return 'duplicate';
    this.#rows.set(name, record);
    return 'stored';
  }
}

export class PlainKms implements KeyManagementService {
  async wrap(key: Uint8Array): Promise<Uint8Array> {
    return Uint8Array.from(key);
  }

  async unwrap(wrapped: Uint8Array): Promise<Unwrapped> {
    return { key: Buffer.from(wrapped) };
  }
}

export const meta: KeyMeta = { id: parseKeyId('_SK_orders_shop'), created: parseEpochSeconds(60) };
const events: Partial<EnvelopeEvents> = { keyCreated: (kind, key) => void `${kind} ${key.id}` };
const names = { service: 'orders', product: 'shop' };
const keyfold = new SessionFactory({ ...names, kms: new PlainKms(), metastore: new MapMetastore(), events });
const session = keyfold.session('tenant-1', (key) => void key.created);

export async function use(): Promise<string> {
  const records = await encryptBatch(session, [Buffer.from('one')], { shareDataRowKey: true });
  const opened = await decryptBatch(
    session,
    records.filter((record): record is DataRowRecord => !(record instanceof KeyfoldError)),
  );
  const document: unknown = await encryptFields(session, { document: { card: '41' }, fields: ['$.card'] });
  const text: string = await decryptFields(session, { documentText: JSON.stringify(document), all: true });
  return `${opened.length} ${text} ${await session.decryptText(await session.encryptText('hello'))}`;
}

export const maintained = (): SystemKeyMaintenance =>
  new SystemKeyMaintenance({
    ...names,
    kms: new AwsKms({ keys: {}, preferredRegion: 'us-west-2', credentials: defaultCredentials() }),
    metastore: new DynamoDbMetastore({ events: { metastoreCalled: (action, ms) => void `${action} ${ms}` } }),
  });
export const cases: ContractCase[] = [
  ...kmsContract(() => new PlainKms()),
  ...metastoreContract(async () => new MapMetastore()),
];
export const clock: () => number = new HandClock(0).now;
const vaultOptions: VaultKmsOptions = {
  addresses: ['https://vault.example.com'],
  transitKey: 'keyfold',
  auth: { method: 'aws', role: 'orders', credentials: defaultCredentials() },
};
export const vault: KeyManagementService = new VaultKms(vaultOptions);
const hsmOptions: Pkcs11KmsOptions = {
  library: '/opt/hsm/lib/libpkcs11.so',
  tokenLabel: 'production',
  keyLabels: ['keyfold'],
  pin: () => process.env['PIN'] ?? '',
};
export const hsm: KeyManagementService = new Pkcs11Kms(hsmOptions);
export const local = { kms: new StaticKms(new Uint8Array(32)), metastore: new MemoryMetastore() };
export const byLambda: KeyfoldClientOptions = { lambda: new LambdaTransport({ functions: 'keyfold:live' }) };
export const record = (): Promise<JsonRecord> => new KeyfoldClient(byLambda).partition('p').encrypt(Buffer.from('x'));

/** Makes the metastores for SQL databases, whose pools may come from any version of the drivers. */
export function sqlMetastores(postgres: PostgresPool, mysql: MySqlPool): Metastore[] {
  return [new PostgresMetastore({ pool: postgres }), new MySqlMetastore({ pool: mysql, queryTimeoutMs: 2000 })];
}
