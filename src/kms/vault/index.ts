/**
 * Wraps System Keys with the transit engine of HashiCorp Vault or OpenBao.
 * @example
 * import { DynamoDbMetastore, SessionFactory } from 'keyfold';
 * import { VaultKms } from 'keyfold/vault';
 *
 * const kms = new VaultKms({
 *   addresses: ['https://vault.example.com:8200'],
 *   transitKey: 'keyfold',
 *   auth: { method: 'kubernetes', role: 'orders' },
 * });
 * const metastore = new DynamoDbMetastore({});
 * const keyfold = new SessionFactory({ service: 'orders', product: 'shop', kms, metastore });
 */
export type { VaultAuth, VaultSecret } from './vault-auth.ts';
export { VaultKms } from './vault-kms.ts';
export type { VaultFailoverPolicy, VaultKmsOptions } from './vault-options.ts';
