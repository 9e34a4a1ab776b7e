import type { ObjectEntries } from 'valibot';
import type { Settings } from './settings.ts';

/**
 * Reads the settings of one kind of KMS. A function loads it only for the KMS that it has. `Own` are the settings that
 * only this KMS has.
 */
export interface KmsReader<Kms extends { readonly kind: string }, Own> {
  /** The value of `KEYFOLD_KMS`. */
  readonly kind: Kms['kind'];
  /** The schema of its own settings. */
  readonly entries: ObjectEntries;
  /** Returns the configuration of checked settings. */
  configOf(settings: Omit<Settings, 'SERVICE' | 'PRODUCT'> & Partial<Own>): Kms;
  /** Lists the settings that are missing, and those that have no meaning with this KMS. */
  faultsOf(settings: Settings & Partial<Own>): string[];
}
