import type { Deadline } from '../async/deadline.ts';
import { ShortMemory } from '../async/short-memory.ts';
import { SingleFlight } from '../async/single-flight.ts';
import { isEqual } from '../crypto/hkdf.ts';
import { KeyfoldError, partitionErased } from '../errors.ts';
import { byteLengthOf } from '../input/checks.ts';
import { metaOf, TOMBSTONE_CREATED, type KeyId, type KeyNaming } from '../records/ids.ts';
import { PROOF_BYTES } from '../records/record-proof.ts';
import type { EnvelopeKey } from './envelope-key.ts';
import type { KeyDependencies } from './key-dependencies.ts';
import type { EnvelopeKeyRecord } from './ports.ts';
import type { StaleIfError, StaleKey } from './stale-if-error.ts';
import type { SystemKeys } from './system-keys.ts';

/**
 * How long the process remembers whether an ID has a tombstone. `IntermediateKeys` remembers absent rows for the same
 * time.
 */
const TTL_MS = 1000;
const MAX_ENTRIES = 10_000;

/** Whether the row has the mark of an erasure with a valid proof. `parent` is the System Key of the row. */
export function hasValidMark(row: EnvelopeKeyRecord, parent: EnvelopeKey): boolean {
  const { erased } = row;
  if (erased === undefined || byteLengthOf(erased.proof) !== PROOF_BYTES) return false;
  return isEqual(erased.proof, parent.proofOfErasure(row, erased));
}

/**
 * Finds out whether a partition is erased. Only a mark with a valid proof counts, because otherwise an attacker who can
 * write to the table could lock a tenant out permanently. Any other mark is reported and ignored.
 */
export class Erasures {
  readonly #naming: KeyNaming;
  readonly #systemKeys: SystemKeys;
  readonly #dependencies: KeyDependencies;
  readonly #staleIfError: StaleIfError;
  /** For each ID, whether it has a valid tombstone. */
  readonly #known: ShortMemory<boolean>;
  readonly #reads: SingleFlight<EnvelopeKeyRecord | undefined>;

  constructor(naming: KeyNaming, systemKeys: SystemKeys, dependencies: KeyDependencies, staleIfError: StaleIfError) {
    this.#naming = naming;
    this.#systemKeys = systemKeys;
    this.#dependencies = dependencies;
    this.#staleIfError = staleIfError;
    this.#known = new ShortMemory(dependencies.checkAges, TTL_MS, MAX_ENTRIES);
    this.#reads = new SingleFlight(dependencies.policy.flightTimeoutMs, dependencies.now);
  }

  /**
   * @throws KeyfoldError `PartitionErased` if a row that was just read has a mark of an erasure, and the proof of the
   * mark is valid
   */
  async throwIfMarked(row: EnvelopeKeyRecord, deadline: Deadline, stale: StaleKey): Promise<undefined> {
    if (row.erased !== undefined && (await this.#isMarked(row, deadline, stale))) throw partitionErased();
  }

  /**
   * Looks for the tombstone of an ID. Callers use this method if the row of a key is absent.
   * @throws KeyfoldError `PartitionErased` if the ID has a tombstone with a valid proof
   */
  async throwIfBuried(id: KeyId, deadline: Deadline, stale: StaleKey): Promise<void> {
    if (this.#known.get(id) ?? (await this.#look(id, deadline, stale))) throw partitionErased();
  }

  async #look(id: KeyId, deadline: Deadline, stale: StaleKey): Promise<boolean> {
    const { metastore } = this.#dependencies;
    const row = await this.#staleIfError
      .read(stale, deadline, (short) =>
        this.#reads.run(id, short, (shared) => metastore.load(id, TOMBSTONE_CREATED, shared)),
      )
      .catch(undefinedIfUnreadable);
    const isErased = row?.erased !== undefined && (await this.#isMarked(row, deadline, stale));
    this.#known.set(id, isErased);
    return isErased;
  }

  /**
   * Whether the mark of a row has a valid proof. To check the proof, this method loads the row's System Key. If the
   * row's own key is opened afterwards, that System Key is already loaded.
   */
  async #isMarked(row: EnvelopeKeyRecord, deadline: Deadline, stale: StaleKey): Promise<boolean> {
    const { parent } = row;
    const { policy, events } = this.#dependencies;
    const canProve =
      parent !== undefined && this.#naming.isSystemKey(parent.id) && parent.created >= policy.minOpeningCreated;
    const key = canProve && (await this.#systemKeys.load(parent, deadline, stale).catch(undefinedIfUnreadable));
    if (key && hasValidMark(row, key)) return true;
    events.markIgnored(metaOf(row));
    return false;
  }
}

function undefinedIfUnreadable(error: unknown): undefined {
  if (!(error instanceof KeyfoldError && error.code === 'KeyRowUnreadable')) throw error;
}
