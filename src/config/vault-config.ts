/** Vault's settings. Only the functions that use Vault load this module. */
import * as v from 'valibot';
import type { FailoverPolicy } from '../kms/failover-policy.ts';
import type { VaultLogin } from '../kms/vault/configured-vault.ts';
import { addressFault, isName, isPathSegments } from '../kms/vault/vault-path.ts';
import { choiceFaults, OF_OTHER_KMS, type KmsReader } from './kms-reader.ts';
import { list, region, text, type Settings } from './settings.ts';

/** Vault or OpenBao, whose transit engine wraps System Keys. */
export interface VaultConfig {
  readonly kind: 'vault';
  readonly addresses: readonly string[];
  readonly transitKey: string;
  readonly transitMount: string | undefined;
  readonly namespace: string | undefined;
  readonly caFile: string | undefined;
  readonly login: VaultLogin;
  readonly failover: Partial<Pick<FailoverPolicy, 'onKeyRefused'>>;
}

const printable = v.pipe(text, v.regex(/^[\x21-\x7e]*$/, 'is not printable ASCII without spaces'));
const vaultPath = v.pipe(
  text,
  v.check((value) => value === '' || isPathSegments(value), 'is not a path of names'),
);
const vaultKey = v.pipe(
  text,
  v.check((value) => value === '' || isName(value), 'is not the name of a key'),
);
const vaultAddresses = v.pipe(
  list,
  v.everyItem(
    (address) => addressFault(address) === undefined,
    'lists an address that is no URL with https: (http: only for this machine) and without credentials',
  ),
  v.check((addresses) => new Set(addresses).size === addresses.length, 'lists an address twice'),
);

/** The settings that only `KEYFOLD_KMS=vault` has, keyed by environment variable without the prefix `KEYFOLD_`. */
export const VAULT_ENTRIES = {
  VAULT_ADDRESSES: v.optional(vaultAddresses),
  VAULT_TRANSIT_KEY: v.optional(vaultKey),
  VAULT_TRANSIT_MOUNT: v.optional(vaultPath),
  VAULT_NAMESPACE: v.optional(vaultPath),
  VAULT_CA_FILE: v.optional(text),
  VAULT_AUTH: v.optional(
    v.picklist(['aws', 'approle', 'kubernetes', 'token'], 'is none of aws, approle, kubernetes, token'),
  ),
  VAULT_AUTH_MOUNT: v.optional(vaultPath),
  VAULT_ROLE: v.optional(printable),
  VAULT_SECRET_FILE: v.optional(text),
  VAULT_STS_REGION: v.optional(region),
  VAULT_SERVER_ID: v.optional(printable),
};

export type VaultSettings = v.InferOutput<v.ObjectSchema<typeof VAULT_ENTRIES, undefined>>;

type Name = keyof VaultSettings;

/** For each login method, the settings that it requires and the settings that it accepts. */
const LOGINS: Readonly<
  Record<VaultLogin['method'], { readonly needs: readonly Name[]; readonly may: readonly Name[] }>
> = {
  aws: { needs: ['VAULT_ROLE'], may: ['VAULT_AUTH_MOUNT', 'VAULT_STS_REGION', 'VAULT_SERVER_ID'] },
  approle: { needs: ['VAULT_ROLE'], may: ['VAULT_AUTH_MOUNT', 'VAULT_SECRET_FILE'] },
  kubernetes: { needs: ['VAULT_ROLE'], may: ['VAULT_AUTH_MOUNT', 'VAULT_SECRET_FILE'] },
  token: { needs: ['VAULT_SECRET_FILE'], may: [] },
};
const LOGIN_SETTINGS: readonly Name[] = [
  'VAULT_AUTH_MOUNT',
  'VAULT_ROLE',
  'VAULT_SECRET_FILE',
  'VAULT_STS_REGION',
  'VAULT_SERVER_ID',
];

function vaultOf(settings: Omit<Settings, 'SERVICE' | 'PRODUCT'> & Partial<VaultSettings>): VaultConfig {
  const { ON_KEY_REFUSED: onKeyRefused } = settings;
  return {
    kind: 'vault',
    addresses: settings.VAULT_ADDRESSES ?? [],
    transitKey: settings.VAULT_TRANSIT_KEY ?? '',
    transitMount: settings.VAULT_TRANSIT_MOUNT,
    namespace: settings.VAULT_NAMESPACE,
    caFile: settings.VAULT_CA_FILE,
    login: {
      method: settings.VAULT_AUTH ?? 'aws',
      role: settings.VAULT_ROLE,
      mount: settings.VAULT_AUTH_MOUNT,
      secretFile: settings.VAULT_SECRET_FILE,
      region: settings.VAULT_STS_REGION,
      serverId: settings.VAULT_SERVER_ID,
    },
    failover: onKeyRefused === undefined ? {} : { onKeyRefused },
  };
}

function vaultSettingFaults(settings: Settings & Partial<VaultSettings>): string[] {
  const method = settings.VAULT_AUTH ?? 'aws';
  const { needs, may } = LOGINS[method];
  const idle = LOGIN_SETTINGS.filter((name) => !needs.includes(name) && !may.includes(name));
  return [
    ...choiceFaults('KMS=vault', settings, ['VAULT_ADDRESSES', 'VAULT_TRANSIT_KEY'], OF_OTHER_KMS),
    ...choiceFaults(`VAULT_AUTH=${method}`, settings, needs, idle),
  ];
}

/** Reads the settings of `KEYFOLD_KMS=vault`. */
export const vaultReader: KmsReader<VaultConfig, VaultSettings> = {
  kind: 'vault',
  entries: VAULT_ENTRIES,
  configOf: vaultOf,
  faultsOf: vaultSettingFaults,
};
