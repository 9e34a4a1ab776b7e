import { MemoryMetastore, SessionFactory, StaticKms } from 'keyfold';
const ports = { kms: new StaticKms(new Uint8Array(32)), metastore: new MemoryMetastore() };
const session = new SessionFactory({ service: 'orders', product: 'shop', ...ports }).session('tenant-1');
void session.encryptText('hello').then(async (record) => process.stdout.write(await session.decryptText(record)));
