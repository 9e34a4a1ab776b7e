import type { FailoverPolicy } from '../kms/failover-policy.ts';
import type { VaultLogin } from '../kms/vault/configured-vault.ts';
import type { Settings } from './settings.ts';

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

/** All settings that `KEYFOLD_KMS=vault` gives a meaning. */
export const VAULT_SETTINGS = [
  'VAULT_ADDRESSES',
  'VAULT_TRANSIT_KEY',
  'VAULT_TRANSIT_MOUNT',
  'VAULT_NAMESPACE',
  'VAULT_CA_FILE',
  'VAULT_AUTH',
  'VAULT_AUTH_MOUNT',
  'VAULT_ROLE',
  'VAULT_SECRET_FILE',
  'VAULT_STS_REGION',
  'VAULT_SERVER_ID',
] as const;

/** The settings of the other KMS. */
const OF_OTHER_KMS = [
  'KMS_KEYS',
  'PREFERRED_REGION',
  'MINIMUM_WRAPPED_REGIONS',
  'STATIC_MASTER_KEY_HEX',
  'STATIC_KMS_OVERRIDE',
] as const;

type Name = (typeof VAULT_SETTINGS)[number];

/** What each log-in needs, and what it may have, besides the settings that all have. */
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

/** Returns the configuration of Vault. */
export function vaultOf(settings: Omit<Settings, 'SERVICE' | 'PRODUCT'>): VaultConfig {
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

/** Lists the settings that are missing with `KEYFOLD_KMS=vault`, and those that have no meaning with it. */
export function vaultSettingFaults(settings: Settings): string[] {
  const isSet = (name: keyof Settings): boolean => settings[name] !== undefined;
  const method = settings.VAULT_AUTH ?? 'aws';
  const { needs, may } = LOGINS[method];
  const needed: readonly Name[] = ['VAULT_ADDRESSES', 'VAULT_TRANSIT_KEY'];
  const idle = LOGIN_SETTINGS.filter((name) => isSet(name) && !needs.includes(name) && !may.includes(name));
  return [
    ...needed.filter((name) => !isSet(name)).map((name) => `KEYFOLD_${name} must be set with KEYFOLD_KMS=vault`),
    ...OF_OTHER_KMS.filter(isSet).map((name) => `KEYFOLD_${name} has no meaning with KEYFOLD_KMS=vault`),
    ...needs
      .filter((name) => !isSet(name))
      .map((name) => `KEYFOLD_${name} must be set with KEYFOLD_VAULT_AUTH=${method}`),
    ...idle.map((name) => `KEYFOLD_${name} has no meaning with KEYFOLD_VAULT_AUTH=${method}`),
  ];
}

/** Lists the settings of Vault that are set although another KMS is configured. */
export function idleVaultFaults(settings: Settings): string[] {
  const idle = VAULT_SETTINGS.filter((name) => settings[name] !== undefined);
  return idle.map((name) => `KEYFOLD_${name} is set without KEYFOLD_KMS=vault`);
}
