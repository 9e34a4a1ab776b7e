import { timerFaults } from '../../async/deadline.ts';
import {
  ARRAY,
  checked,
  FUNCTION,
  having,
  itemsOf,
  NUMBER,
  oneOf,
  optional,
  optionsOf,
  STRING,
  type Type,
  type Types,
} from '../../input/checks.ts';
import { numberFaults } from '../../input/defaults.ts';
import type { KmsEvents } from '../failover.ts';

/** The mechanisms with which a token can wrap a System Key, in the order of preference. */
export const MECHANISMS = ['CKM_AES_GCM', 'CKM_AES_KEY_WRAP_PAD'] as const;

/**
 * How a token wraps a System Key.
 * - `CKM_AES_GCM`: the token encrypts the System Key. Keyfold makes the nonce.
 * - `CKM_AES_KEY_WRAP_PAD` (RFC 5649): Keyfold makes a session object of the System Key, and the token wraps it. The
 *   token must allow session objects whose value can be read.
 */
export type Pkcs11Mechanism = (typeof MECHANISMS)[number];

/** Options of {@link Pkcs11Kms}. */
export interface Pkcs11KmsOptions {
  /** The path of the PKCS#11 library that the manufacturer of the HSM provides. */
  readonly library: string;
  /** The label of the token. */
  readonly tokenLabel: string;
  /**
   * The labels of 256-bit AES keys in the token. The keys must not be extractable. The first one wraps new System Keys.
   * The others only unwrap. A label must belong to exactly one key.
   */
  readonly keyLabels: readonly string[];
  /**
   * Returns the PIN of the user `CKU_USER`. Keyfold calls this function for each login. If the token refuses a PIN,
   * Keyfold does not send the same PIN again, because tokens lock themselves after a few wrong PINs.
   */
  readonly pin: () => string | Promise<string>;
  /** Default: `CKM_AES_GCM` if the token has it, otherwise `CKM_AES_KEY_WRAP_PAD`. */
  readonly mechanism?: Pkcs11Mechanism | undefined;
  /** How long one attempt may take, including its login, in milliseconds. Default: 5000. */
  readonly requestTimeoutMs?: number | undefined;
  /** Listeners for KMS events. Each of them is optional. In these events, the region is the token's label. */
  readonly events?: Partial<KmsEvents> | undefined;
}

/** The options, with their types checked and their defaults filled in. */
export interface CheckedPkcs11Options extends Pkcs11KmsOptions {
  readonly requestTimeoutMs: number;
}

const MECHANISM: Type = oneOf(...MECHANISMS);
const OPTIONS: Types<Pkcs11KmsOptions> = {
  library: STRING,
  tokenLabel: STRING,
  keyLabels: ARRAY,
  pin: FUNCTION,
  mechanism: optional(MECHANISM),
  requestTimeoutMs: optional(NUMBER),
  events: optional(having()),
};
const DEFAULT_TIMEOUT = { requestTimeoutMs: 5000 };

/** @throws TypeError that names an option of the wrong type or an unknown option */
export function checkedPkcs11Options(options: unknown): CheckedPkcs11Options {
  const given = optionsOf<Pkcs11KmsOptions>(options, 'options', OPTIONS);
  return {
    ...given,
    keyLabels: itemsOf(given.keyLabels, 'options.keyLabels', checked(STRING)) as string[],
    requestTimeoutMs: given.requestTimeoutMs ?? DEFAULT_TIMEOUT.requestTimeoutMs,
  };
}

/** Lists everything that is wrong with options that have the right types. */
export function pkcs11Faults({ library, tokenLabel, keyLabels, requestTimeoutMs }: CheckedPkcs11Options): string[] {
  return [
    ...(library === '' || library.includes('\0') ? ['library is not the path of a library'] : []),
    ...(isTokenLabel(tokenLabel) ? [] : ['tokenLabel must have 1 to 32 printable ASCII characters']),
    ...(keyLabels.length === 0 ? ['keyLabels is empty: name at least one'] : []),
    ...keyLabels.flatMap((label, i) =>
      isKeyLabel(label) ? [] : [`keyLabels[${i}] must have 1 to 128 printable ASCII characters`],
    ),
    ...(new Set(keyLabels).size < keyLabels.length ? ['keyLabels names one key twice'] : []),
    ...numberFaults({ requestTimeoutMs }, DEFAULT_TIMEOUT),
    ...timerFaults({ requestTimeoutMs }, ['requestTimeoutMs']),
  ];
}

/** Whether a string can be the label of a token. PKCS#11 pads labels with spaces to 32 bytes. */
export function isTokenLabel(text: string): boolean {
  return /^[\x21-\x7e](?:[\x20-\x7e]{0,30}[\x21-\x7e])?$/.test(text);
}

/** Whether a string can be the label of a key. The limit keeps the wrapped key short. */
export function isKeyLabel(text: string): boolean {
  return /^[\x20-\x7e]{1,128}$/.test(text);
}
