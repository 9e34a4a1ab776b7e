import { MemoryMetastore, SessionFactory } from 'keyfold';
import { VaultKms } from 'keyfold/vault';

const { VAULT_ADDRESS = '' } = process.env;
const kms = new VaultKms({ addresses: [VAULT_ADDRESS], transitKey: 'k', auth: { method: 'token', token: 'fixed' } });
const keyfold = new SessionFactory({ service: 'orders', product: 'shop', kms, metastore: new MemoryMetastore() });
const session = keyfold.session('tenant-1');
void session
  .encryptToJson(Buffer.from('hello'))
  .then((record) => session.decryptJson(record))
  .then((payload) => process.stdout.write(payload));
