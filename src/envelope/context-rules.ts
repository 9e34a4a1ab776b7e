import { contextRequired, recordUnreadable } from '../errors.ts';
import type { DataRowRecord } from '../records/data-row-record.ts';
import type { Binding } from '../records/record-proof.ts';

/** The rules for contexts: which calls must pass a context, and which records without a proof still open. */
export interface ContextRules {
  /**
   * - `off`, the default: a context is optional.
   * - `seal`: encryption needs a context.
   * - `always`: encryption and decryption need a context. `rewrap` never needs one.
   */
  readonly requireContext?: 'off' | 'seal' | 'always';
  /**
   * A time in seconds since 1970, for a migration. If it is set, a call with a context also opens records without a
   * proof whose Intermediate Key was created before this time. For any other record without a proof, a call with a
   * context fails with `RecordUnreadable`.
   */
  readonly unboundBefore?: number;
}

/** @throws KeyfoldError `ContextRequired` if a new record needs a context and the call has none */
export function checkSealing({ requireContext = 'off' }: ContextRules, given: Binding | undefined): void {
  if (given === undefined && requireContext !== 'off') throw contextRequired();
}

/**
 * Decides which place the proof of a record must name. The function reads only the record's members, so it needs no
 * key.
 * @param given the place in the call
 * @returns `given`. Undefined if the record has no proof and may open without one.
 * @throws KeyfoldError `ContextRequired` if the call has no context, but the record has a proof or the rules require a
 * context
 * @throws KeyfoldError `RecordUnreadable` if the call has a context, but the record has no proof and may not open
 * without one
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
