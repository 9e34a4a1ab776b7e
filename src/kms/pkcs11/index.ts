/**
 * Wraps System Keys with a key in a hardware security module, through its PKCS#11 library.
 * @example
 * import { readFile } from 'node:fs/promises';
 * import { DynamoDbMetastore, SessionFactory } from 'keyfold';
 * import { Pkcs11Kms } from 'keyfold/pkcs11';
 *
 * const kms = new Pkcs11Kms({
 *   library: '/opt/hsm/lib/libpkcs11.so',
 *   tokenLabel: 'production',
 *   keyLabels: ['keyfold'],
 *   pin: async () => (await readFile('/run/secrets/hsm-pin', 'utf8')).trim(),
 * });
 * const metastore = new DynamoDbMetastore({});
 * const keyfold = new SessionFactory({ service: 'orders', product: 'shop', kms, metastore });
 */
export { Pkcs11Kms } from './pkcs11-kms.ts';
export type { Pkcs11KmsOptions, Pkcs11Mechanism } from './pkcs11-options.ts';
