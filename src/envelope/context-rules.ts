import { contextRequired, recordUnreadable } from '../errors.ts';
import type { DataRowRecord } from '../records/data-row-record.ts';
import type { Binding } from '../records/record-proof.ts';

/** The rules for contexts: which calls must give one, and which records without a proof open even so. */
export interface ContextRules {
  /**
   * - `off`: a context is optional, the default.
   * - `seal`: encryption needs a context.
   * - `always`: encryption and decryption need a context. `rewrap` never does.
   */
  readonly requireContext?: 'off' | 'seal' | 'always';
  /**
   * For a migration: a time in seconds since 1970. If a record without a proof has an Intermediate Key from before this
   * time, a call with a context opens it. Otherwise that call fails with `RecordUnreadable`.
   */
  readonly unboundBefore?: number;
}

/** @throws KeyfoldError `ContextRequired` if a new record needs a context and has none */
export function checkSealing({ requireContext = 'off' }: ContextRules, given: Binding | undefined): void {
  if (given === undefined && requireContext !== 'off') throw contextRequired();
}

/**
 * Decides from a record's members alone which place its proof must name, before any key is used.
 * @param given the place in the call
 * @returns `given`; undefined if the record has no proof and may open without one
 * @throws KeyfoldError `ContextRequired`, or `RecordUnreadable` for a record without a proof
 */
export function bindingToProve(
  { requireContext = 'off', unboundBefore = -Infinity }: ContextRules,
  { key, proof }: DataRowRecord,
  given: Binding | undefined,
): Binding | undefined {
  if (given === undefined) {
    if (proof !== undefined || requireContext === 'always') throw contextRequired();
    return undefined;
  }
  if (proof !== undefined) return given;
  if (key.parent.created < unboundBefore) return undefined;
  throw recordUnreadable('it is not bound to any context');
}
