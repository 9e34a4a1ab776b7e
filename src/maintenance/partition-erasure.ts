import { randomUUID } from 'node:crypto';
import { withDeadline } from '../async/deadline.ts';
import type { Clock } from '../async/clock.ts';
import { isEqual } from '../crypto/hkdf.ts';
import { KEY_BYTES } from '../crypto/random.ts';
import { checkedKms } from '../envelope/checked-ports.ts';
import type { CryptoPolicy } from '../envelope/crypto-policy.ts';
import { EnvelopeKey } from '../envelope/envelope-key.ts';
import { hasValidMark } from '../envelope/erasures.ts';
import { isDatedAhead, standingOf } from '../envelope/key-standing.ts';
import type { EnvelopeKeyRecord, Erasure, ErasureMark, KeyManagementService } from '../envelope/ports.ts';
import { proofOfSystemKey } from '../envelope/row-proofs.ts';
import { KeyfoldError } from '../errors.ts';
import {
  isRegionName,
  keyName,
  KeyNaming,
  metaOf,
  regionOfKeyId,
  secondsOf,
  TOMBSTONE_CREATED,
  type EpochSeconds,
  type KeyId,
  type PartitionId,
  type ServiceNames,
} from '../records/ids.ts';
import type { ErasureTables, RegisteredErasure } from './erasure-table.ts';
import type { KeyRow } from './key-table.ts';

/** The options of {@link PartitionErasure}. */
export interface PartitionErasureOptions {
  readonly names: ServiceNames;
  readonly partition: string;
  readonly tables: ErasureTables;
  readonly kms: KeyManagementService;
  readonly policy: CryptoPolicy;
  readonly now: Clock;
}

/** Options of a step that changes rows. */
export interface StepOptions {
  /** If this signal aborts, the step stops before the next row and throws the reason. */
  readonly signal?: AbortSignal;
  /** Called after each row. */
  readonly advanced?: () => void;
}

/** A key row of the partition, other than a tombstone. */
interface ErasableRow {
  readonly row: KeyRow;
  /** The region in which the row is written. */
  readonly region: string;
  /** Whether the row has the mark of {@link ErasureState.erasure}, with a valid proof. */
  readonly marked: boolean;
}

/** An ID of the partition's Intermediate Keys. */
interface ErasableId {
  readonly id: KeyId;
  /** The region in which rows of this ID are written. */
  readonly region: string;
  /** Whether the ID has a tombstone of {@link ErasureState.erasure} that the service's processes heed. */
  readonly buried: boolean;
  /**
   * A tombstone for this ID whose proof is not valid, whose System Key is older than the minimum date for opening, or
   * which belongs to an older erasure.
   */
  readonly invalid?: KeyRow | undefined;
}

/** The rows of a partition, and its erasure. */
export interface ErasureState {
  /** The erasure under way. Undefined if no row has a valid mark. */
  readonly erasure: Erasure | undefined;
  readonly ids: readonly ErasableId[];
  readonly rows: readonly ErasableRow[];
  /** The regions that have a replica of the table. */
  readonly regions: readonly string[];
  /** The System Keys of the service, keyed by name. The value is the key, or the reason why it does not open. */
  readonly systemKeys: SystemKeys;
}

type SystemKeys = ReadonlyMap<string, EnvelopeKey | string>;

/** How long KMS may take to unwrap one System Key. */
const UNWRAP_TIMEOUT_MS = 30_000;
/** If other erasures began in the same second, an erasure tries this many consecutive seconds as its date. */
const MAX_SAME_SECOND = 60;
/**
 * These bytes take the place of the sealed key in a tombstone's row. They are as long as a sealed key, but open under
 * no key. If they opened, Asherah could use the tombstone as a key after losing a race to make one.
 */
const NO_KEY = Buffer.alloc(60);

/**
 * Erases one partition of a service: marks its key rows, and deletes them after a waiting time. Every method may be
 * interrupted at any time, and can then be called again. If a method's signal aborts, it throws the signal's reason
 * before it writes the next row.
 */
export class PartitionErasure {
  readonly partition: PartitionId;
  readonly #options: PartitionErasureOptions;
  readonly #naming: KeyNaming;

  /** @throws KeyfoldError `InvalidRequest` if the partition is invalid */
  constructor(options: PartitionErasureOptions) {
    this.#options = options;
    this.#naming = new KeyNaming(options.names);
    this.partition = this.#naming.parsePartition(options.partition);
  }

  /** Reads the rows of the partition, each in its own region, and opens the System Keys above them. */
  async read(): Promise<ErasureState> {
    const { tables, names } = this.#options;
    const regions = await tables.regions();
    const own = regions[0] ?? '';
    const base = new KeyNaming({ ...names, regionSuffix: undefined });
    const prefixes = [base.intermediateKeyId(this.partition), base.systemKeyId];
    const scanned = await tables.at(own).rows({ prefixes });
    // A `KeyNaming` with any region suffix accepts the IDs of every region.
    const anyRegion = new KeyNaming({ ...names, regionSuffix: 'us-east-1' });
    const systems = scanned.filter((row) => this.#naming.isSystemKey(row.id));
    const systemKeys = await this.#open(systems);

    const found = scanned.filter((row) => anyRegion.isIntermediateKeyOf(this.partition, row.id));
    const used = new Set([...found, ...systems].map((row) => this.#idOfRegion(regionOfKeyId(row.id, names))));
    used.add(this.#naming.intermediateKeyId(this.partition));
    const possible = new Set([...used, ...regions.filter(isRegionName).map((region) => this.#idOfRegion(region))]);

    const ofIds: { id: KeyId; region: string; rows: KeyRow[] }[] = [];
    for (const id of possible) {
      const suffix = regionOfKeyId(id, names);
      const region = suffix !== undefined && regions.includes(suffix) ? suffix : own;
      // Read each ID in its own region, because a scan in this region may miss rows that another region has just
      // written.
      const rows = await tables.at(region).rows({ id });
      if (used.has(id) || rows.length > 0) ofIds.push({ id, region, rows });
    }
    return { ...stateOf(ofIds, systemKeys, this.#options.policy), regions, systemKeys };
  }

  /**
   * Begins the erasure, or continues one that is under way: writes a tombstone for each ID, then marks every row.
   * @param waitSeconds the time until rows may be deleted. An erasure under way keeps its own date.
   */
  async begin(state: ErasureState, waitSeconds: number, { signal, advanced }: StepOptions = {}): Promise<Erasure> {
    const erasure = await this.#register(state.erasure, waitSeconds);
    await this.#bury(state, erasure);
    const { rows, systemKeys } = await this.read();
    for (const { row, region, marked } of rows) {
      signal?.throwIfAborted();
      if (!marked && !('unreadable' in row)) {
        const parent = row.parent && systemKeys.get(keyName(row.parent));
        const mark = parent instanceof EnvelopeKey && { ...erasure, proof: parent.proofOfErasure(row, erasure) };
        if (mark) await this.#options.tables.at(region).mark(row, mark);
      }
      advanced?.();
    }
    return erasure;
  }

  /** Removes the marks, then deletes the tombstones. The keys stay revoked. */
  async cancel(state: ErasureState, { signal, advanced }: StepOptions = {}): Promise<void> {
    const { tables } = this.#options;
    for (const { row, region } of state.rows) {
      signal?.throwIfAborted();
      if (!('unreadable' in row) && row.erased !== undefined) await tables.at(region).mark(row, undefined);
      advanced?.();
    }
    const entry = await this.registered(state.erasure);
    if (entry !== undefined) await tables.register.remove(entry);
    // Remove the tombstones last, because the next run needs them to find the erasure.
    for (const { id, region } of state.ids) {
      for (const row of await tables.at(region).rows({ id })) {
        if (row.created === TOMBSTONE_CREATED) await tables.at(region).remove(row);
      }
    }
  }

  /**
   * Deletes the rows and keeps the tombstones.
   * @param unmarked whether to delete rows without a mark, too
   * @returns the state after the deletion
   */
  async finish(
    state: ErasureState,
    erasure: Erasure,
    unmarked: boolean,
    { signal, advanced }: StepOptions = {},
  ): Promise<ErasureState> {
    const { tables, now } = this.#options;
    await this.#bury(state, erasure);
    for (const { row, region, marked } of state.rows) {
      signal?.throwIfAborted();
      if (marked || unmarked) await tables.at(region).remove(row);
      advanced?.();
    }
    const after = await this.read();
    const entry = await this.registered(erasure);
    if (after.rows.length === 0 && entry !== undefined) {
      const before = state.rows.length === 0 ? entry.deletedAt : undefined;
      await tables.register.update({ ...entry, deletedAt: before ?? secondsOf(now()) });
    }
    return after;
  }

  /** Finds the register's entry for an erasure. */
  async registered(erasure: Erasure | undefined): Promise<RegisteredErasure | undefined> {
    const entries = await this.#options.tables.register.list();
    return entries.find(({ erase }) => erase === erasure?.erase);
  }

  /** How many key rows and tombstones of the partition each replica has. */
  async replicas({ ids, regions }: ErasureState): Promise<{ region: string; rows: number; tombstones: number }[]> {
    const { tables } = this.#options;
    const counts = [];
    for (const region of regions) {
      const rows = (await Promise.all(ids.map(({ id }) => tables.at(region).rows({ id })))).flat();
      const tombstones = rows.filter(({ created }) => created === TOMBSTONE_CREATED).length;
      counts.push({ region, rows: rows.length - tombstones, tombstones });
    }
    return counts;
  }

  #idOfRegion(regionSuffix: string | undefined): KeyId {
    return new KeyNaming({ ...this.#options.names, regionSuffix }).intermediateKeyId(this.partition);
  }

  /** Makes sure that the register lists this erasure, and no other unfinished erasure of the partition. */
  async #register(known: Erasure | undefined, waitSeconds: number): Promise<Erasure> {
    const { register } = this.#options.tables;
    const { partition } = this;
    const entries = (await register.list()).filter((entry) => entry.partition === partition);
    // An unfinished entry of another erasure is from a run that was killed before it wrote its first tombstone.
    const abandoned = entries.filter(({ erase, deletedAt }) => erase !== known?.erase && deletedAt === undefined);
    for (const entry of abandoned) await register.remove(entry);
    if (known !== undefined) {
      const entry = entries.find(({ erase }) => erase === known.erase);
      if (entry === undefined) await register.add({ partition, ...known });
      // The entry says that the rows were deleted, but they exist. So an operator has restored them from a backup.
      else if (entry.deletedAt !== undefined) await register.update({ partition, ...known });
      return known;
    }
    const erase = randomUUID();
    const began = secondsOf(this.#options.now());
    for (let at = began; at < began + MAX_SAME_SECOND; at = (at + 1) as EpochSeconds) {
      const erasure = { erase, at, due: (at + waitSeconds) as EpochSeconds };
      if (await register.add({ partition, ...erasure })) return erasure;
    }
    throw new KeyfoldError('MetastoreUnavailable', 'Too many erasures began in this minute. Try again later.');
  }

  /** Writes missing tombstones, and replaces tombstones that are not valid for this erasure. */
  async #bury({ ids, systemKeys }: ErasureState, erasure: Erasure): Promise<void> {
    const { tables } = this.#options;
    for (const { id, region, buried, invalid } of ids) {
      if (buried) continue;
      const parent = this.#provingKey(systemKeys, regionOfKeyId(id, this.#options.names));
      const row = { id, created: TOMBSTONE_CREATED, encryptedKey: NO_KEY, parent: metaOf(parent.standing) };
      const erased = { ...erasure, proof: parent.proofOfErasure(row, erasure) };
      // Replace the present tombstone in one write. Without any tombstone, an interrupted step would lose the erasure.
      await tables.at(region).store({ ...row, erased, revoked: true }, invalid);
    }
  }

  /** The newest System Key that can prove a tombstone. If possible, it is a key of the tombstone's own region. */
  #provingKey(systemKeys: SystemKeys, region: string | undefined): EnvelopeKey {
    const { policy, now, names } = this.#options;
    const opened = [...systemKeys.values()].filter((key) => typeof key !== 'string');
    const isTooOld = ({ standing }: EnvelopeKey): boolean => standing.created < policy.minOpeningCreated;
    const keys = opened.filter((key) => !isTooOld(key) && !isDatedAhead(key.standing.created, now()));
    const isNear = ({ standing }: EnvelopeKey): boolean => regionOfKeyId(standing.id, names) === region;
    const [key] = keys.toSorted(
      (a, b) => Number(isNear(b)) - Number(isNear(a)) || b.standing.created - a.standing.created,
    );
    if (key !== undefined) return key;
    const faults = [...systemKeys.values()].map((fault) => {
      if (typeof fault === 'string') return fault;
      const date = isTooOld(fault) ? 'older than the minimum date for opening' : 'dated in the future';
      return `${fault.standing.id} ${fault.standing.created} is ${date}`;
    });
    const says = opened.some(isTooOld)
      ? 'No System Key that opens is new enough to prove a mark.'
      : 'No System Key opens that can prove a mark.';
    throw new KeyfoldError('KmsMisconfigured', says, {
      cause: new Error(faults.length === 0 ? 'the service has no System Key' : faults.join('; ')),
    });
  }

  async #open(rows: readonly KeyRow[]): Promise<SystemKeys> {
    const keys = new Map<string, EnvelopeKey | string>();
    for (const row of rows) if (!('unreadable' in row)) keys.set(keyName(row), await this.#unwrap(row));
    return keys;
  }

  /** Opens a System Key. If the key can never be opened, returns the reason. */
  async #unwrap(row: EnvelopeKeyRecord): Promise<EnvelopeKey | string> {
    const { kms, now } = this.#options;
    const limits = { deadlineAtMs: now() + UNWRAP_TIMEOUT_MS };
    const unwrapped = await withDeadline(limits, now, (deadline) =>
      checkedKms(kms).unwrap(row.encryptedKey, deadline),
    ).catch((error: unknown) => {
      if (error instanceof KeyfoldError && error.code === 'KmsMisconfigured') return { unreadable: error.message };
      throw error;
    });
    if ('unreadable' in unwrapped) return unwrapped.unreadable;
    const { key, rowProof } = unwrapped;
    try {
      const proof = proofOfSystemKey(row, key, rowProof);
      const isSound = key.length === KEY_BYTES && (row.proof === undefined || isEqual(row.proof, proof));
      return isSound ? new EnvelopeKey(key, 0, standingOf(row, 0)) : 'the proof of its row does not hold';
    } finally {
      key.fill(0);
    }
  }
}

function stateOf(
  ofIds: readonly { id: KeyId; region: string; rows: KeyRow[] }[],
  systemKeys: SystemKeys,
  { minOpeningCreated }: CryptoPolicy,
): Pick<ErasureState, 'erasure' | 'ids' | 'rows'> {
  const marks = new Map<KeyRow, ErasureMark>();
  // Processes ignore a mark whose System Key is older than the minimum date, because that key may have leaked.
  const heeded = new Set<KeyRow>();
  for (const row of ofIds.flatMap(({ rows }) => rows)) {
    if ('unreadable' in row || row.parent === undefined || row.erased === undefined) continue;
    const parent = systemKeys.get(keyName(row.parent));
    if (!(parent instanceof EnvelopeKey && hasValidMark(row, parent))) continue;
    marks.set(row, row.erased);
    if (parent.standing.created >= minOpeningCreated) heeded.add(row);
  }
  // The newest erasure counts, because an attacker may have restored the mark of an older erasure that was cancelled.
  // If processes heed any mark, they heed that of this erasure, because an attacker may have forged the other marks.
  const [[, newest] = []] = [...marks].toSorted(
    ([a, { at }], [b, { at: other }]) => Number(heeded.has(b)) - Number(heeded.has(a)) || other - at,
  );
  const counts = (row: KeyRow): boolean => newest !== undefined && marks.get(row)?.erase === newest.erase;
  const ids = ofIds.map(({ id, region, rows }) => {
    const tombstone = rows.find(({ created }) => created === TOMBSTONE_CREATED);
    const buried = tombstone !== undefined && counts(tombstone) && heeded.has(tombstone);
    return { id, region, buried, ...(!buried && { invalid: tombstone }) };
  });
  const rows = ofIds.flatMap(({ region, rows: ofId }) =>
    ofId.filter(({ created }) => created !== TOMBSTONE_CREATED).map((row) => ({ row, region, marked: counts(row) })),
  );
  return { erasure: newest && { erase: newest.erase, at: newest.at, due: newest.due }, ids, rows };
}
