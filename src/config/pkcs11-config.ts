/** The settings of an HSM with a PKCS#11 library, for an operator's commands. No function reads them. */
import * as v from 'valibot';
import { isKeyLabel, isTokenLabel, MECHANISMS, type Pkcs11Mechanism } from '../kms/pkcs11/pkcs11-options.ts';
import { choiceFaults, OF_OTHER_KMS, type KmsReader } from './kms-reader.ts';
import { list, text } from './settings.ts';

/** An HSM whose key wraps System Keys. */
export interface Pkcs11Config {
  readonly kind: 'pkcs11';
  readonly library: string;
  readonly tokenLabel: string;
  readonly keyLabels: readonly string[];
  readonly pinFile: string;
  readonly mechanism: Pkcs11Mechanism | undefined;
}

/** The settings that only `KEYFOLD_KMS=pkcs11` has, keyed by environment variable without the prefix `KEYFOLD_`. */
export const PKCS11_ENTRIES = {
  KMS: v.literal('pkcs11'),
  PKCS11_LIBRARY: v.optional(text),
  PKCS11_TOKEN_LABEL: v.optional(v.pipe(text, v.check(isTokenLabel, 'does not have 1 to 32 printable characters'))),
  PKCS11_KEY_LABELS: v.optional(
    v.pipe(
      list,
      v.everyItem(isKeyLabel, 'lists a label that does not have 1 to 128 printable characters'),
      v.check((labels) => new Set(labels).size === labels.length, 'lists a label twice'),
    ),
  ),
  PKCS11_PIN_FILE: v.optional(text),
  PKCS11_MECHANISM: v.optional(v.picklist(MECHANISMS, `is neither ${MECHANISMS.join(' nor ')}`)),
};

export type Pkcs11Settings = Omit<v.InferOutput<v.ObjectSchema<typeof PKCS11_ENTRIES, undefined>>, 'KMS'>;

const NEEDED = ['PKCS11_LIBRARY', 'PKCS11_TOKEN_LABEL', 'PKCS11_KEY_LABELS', 'PKCS11_PIN_FILE'] as const;

/** Reads the settings of `KEYFOLD_KMS=pkcs11`. */
export const pkcs11Reader: KmsReader<Pkcs11Config, Pkcs11Settings> = {
  kind: 'pkcs11',
  entries: PKCS11_ENTRIES,
  configOf: (settings) => ({
    kind: 'pkcs11',
    library: settings.PKCS11_LIBRARY ?? '',
    tokenLabel: settings.PKCS11_TOKEN_LABEL ?? '',
    keyLabels: settings.PKCS11_KEY_LABELS ?? [],
    pinFile: settings.PKCS11_PIN_FILE ?? '',
    mechanism: settings.PKCS11_MECHANISM,
  }),
  faultsOf: (settings) => choiceFaults('KMS=pkcs11', settings, NEEDED, [...OF_OTHER_KMS, 'ON_KEY_REFUSED']),
};
