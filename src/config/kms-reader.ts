import type { ObjectEntries } from 'valibot';
import type { Settings } from './settings.ts';

/** The settings of AWS KMS and of the static master key. They have no meaning with any other KMS. */
export const OF_OTHER_KMS = [
  'KMS_KEYS',
  'PREFERRED_REGION',
  'MINIMUM_WRAPPED_REGIONS',
  'STATIC_MASTER_KEY_HEX',
  'STATIC_KMS_OVERRIDE',
] as const;

/**
 * Lists missing settings, and settings that have no meaning.
 * @param choice the setting that decides which settings are needed, such as `KMS=vault`
 */
export function choiceFaults(
  choice: string,
  settings: object,
  needed: readonly string[],
  idle: readonly string[],
): string[] {
  const isSet = (name: string): boolean => (settings as Readonly<Record<string, unknown>>)[name] !== undefined;
  return [
    ...needed.filter((name) => !isSet(name)).map((name) => `KEYFOLD_${name} must be set with KEYFOLD_${choice}`),
    ...idle.filter(isSet).map((name) => `KEYFOLD_${name} has no meaning with KEYFOLD_${choice}`),
  ];
}

/**
 * Reads the settings of one kind of KMS. A function loads only the reader of the KMS that it uses. `Own` are the
 * settings that only this KMS has.
 */
export interface KmsReader<Kms extends { readonly kind: string }, Own> {
  /** The value of `KEYFOLD_KMS`. */
  readonly kind: Kms['kind'];
  /** The schema of the settings that only this KMS has. */
  readonly entries: ObjectEntries;
  /** Builds the KMS configuration from checked settings. */
  configOf(settings: Omit<Settings, 'SERVICE' | 'PRODUCT'> & Partial<Own>): Kms;
  /** Lists missing settings, and settings that have no meaning with this KMS. */
  faultsOf(settings: Settings & Partial<Own>): string[];
}
