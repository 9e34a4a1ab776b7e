import { X509Certificate } from 'node:crypto';
import { timerFaults } from '../../async/deadline.ts';
import {
  ARRAY,
  checked,
  having,
  itemsOf,
  NUMBER,
  OBJECT,
  optional,
  optionsOf,
  STRING,
  type Types,
} from '../../input/checks.ts';
import { numberFaults } from '../../input/defaults.ts';
import { failoverFaults, type FailoverPolicy } from '../failover-policy.ts';
import type { KmsEvents } from '../failover.ts';
import { nameOf } from './vault-address.ts';
import { authFaults, checkedAuth, type VaultAuth } from './vault-auth.ts';
import { addressFault, isName, isPathSegments } from './vault-path.ts';

/**
 * How Keyfold retries calls to Vault's addresses. The options are the same as for AWS regions, except that there is no
 * `minimumWrappedRegions`.
 */
export type VaultFailoverPolicy = Omit<FailoverPolicy, 'minimumWrappedRegions'>;

/** Options of {@link VaultKms}. */
export interface VaultKmsOptions {
  /**
   * The addresses of one Vault or OpenBao, in the order of preference, such as `https://vault.example.com:8200`. All
   * must have the same transit key. So they must be nodes of one cluster, or clusters that performance replication
   * connects. `http:` is allowed only for this machine, such as for a Vault Agent.
   */
  readonly addresses: readonly string[];
  /** The name of the transit key, which must be symmetric. `VaultKms` refuses RSA keys. */
  readonly transitKey: string;
  /** The path of the transit engine. Default: `transit`. */
  readonly transitMount?: string | undefined;
  /** The namespace of the transit engine and of the login. */
  readonly namespace?: string | undefined;
  readonly auth: VaultAuth;
  /** The certificates, in PEM, of the authorities that sign Vault's certificate. They replace Node's own. */
  readonly ca?: string | undefined;
  /** How long one attempt may take, including its login, in milliseconds. Default: 2000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Overrides of the default failover policy. */
  readonly failover?: Partial<VaultFailoverPolicy> | undefined;
  /** Listeners for KMS events. Each of them is optional. In these events, the region is the host of an address. */
  readonly events?: Partial<KmsEvents> | undefined;
}

/** The options, with their types checked and their defaults filled in. */
export interface CheckedVaultOptions extends VaultKmsOptions {
  readonly transitMount: string;
  readonly requestTimeoutMs: number;
  readonly failover: Partial<VaultFailoverPolicy>;
}

const OPTIONS: Types<VaultKmsOptions> = {
  addresses: ARRAY,
  transitKey: STRING,
  transitMount: optional(STRING),
  namespace: optional(STRING),
  auth: having(),
  ca: optional(STRING),
  requestTimeoutMs: optional(NUMBER),
  failover: optional(OBJECT),
  events: optional(having()),
};
const FAILOVER: Types<VaultFailoverPolicy> = {
  maxRounds: optional(NUMBER),
  baseDelayMs: optional(NUMBER),
  longestDelayMs: optional(NUMBER),
  throttledDelayMs: optional(NUMBER),
  firstCoolDownMs: optional(NUMBER),
  longestCoolDownMs: optional(NUMBER),
  onKeyRefused: optional(STRING),
};
const DEFAULT_TIMEOUT = { requestTimeoutMs: 2000 };

/** @throws TypeError that names an option of the wrong type or an unknown option */
export function checkedVaultOptions(options: unknown): CheckedVaultOptions {
  const given = optionsOf<VaultKmsOptions>(options, 'options', OPTIONS);
  return {
    ...given,
    addresses: itemsOf(given.addresses, 'options.addresses', checked(STRING)) as string[],
    auth: checkedAuth(given.auth),
    failover: optionsOf<Partial<VaultFailoverPolicy>>(given.failover ?? {}, 'options.failover', FAILOVER),
    transitMount: given.transitMount ?? 'transit',
    requestTimeoutMs: given.requestTimeoutMs ?? DEFAULT_TIMEOUT.requestTimeoutMs,
  };
}

/** Lists everything that is wrong with options that have the right types. Shows no secret. */
export function vaultFaults(options: CheckedVaultOptions): string[] {
  const { addresses, transitKey, transitMount, namespace, auth, ca, requestTimeoutMs, failover } = options;
  return [
    ...addressFaults(addresses),
    ...(isName(transitKey) ? [] : ['transitKey is not the name of a key']),
    ...(isPathSegments(transitMount) ? [] : ['transitMount is not a path such as transit']),
    ...(namespace === undefined || isPathSegments(namespace) ? [] : ['namespace is not a path such as team/orders']),
    ...authFaults(auth),
    ...(ca === undefined || isPem(ca) ? [] : ['ca holds no certificate in PEM, or one that cannot be read']),
    ...numberFaults({ requestTimeoutMs }, DEFAULT_TIMEOUT),
    ...timerFaults({ requestTimeoutMs }, ['requestTimeoutMs']),
    ...failoverFaults(failover, addresses.length),
  ];
}

/**
 * Lists what is wrong with the addresses. The messages name an address by its position in the list, because a wrong
 * address may contain a password.
 */
function addressFaults(addresses: readonly string[]): string[] {
  if (addresses.length === 0) return ['addresses is empty: name at least one'];
  const faults = addresses.flatMap((address, i) => {
    const fault = addressFault(address);
    return fault === undefined ? [] : [`addresses[${i}] ${fault}`];
  });
  if (faults.length === 0 && new Set(addresses.map(nameOf)).size < addresses.length) {
    faults.push('addresses names one address twice');
  }
  return faults;
}

function isPem(text: string): boolean {
  const certificates = text.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
  try {
    return certificates.map((certificate) => new X509Certificate(certificate)).length > 0;
  } catch {
    return false;
  }
}
