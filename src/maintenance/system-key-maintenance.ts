import { checkedClock, checkedKeyRecord, checkedKms, checkedMetastore, EVENTS } from '../envelope/checked-ports.ts';
import {
  ARRAY,
  byteLengthOf,
  BYTES,
  check,
  FUNCTION,
  having,
  itemsOf,
  membersOf,
  NUMBER,
  OBJECT,
  oneOf,
  optional,
  optionsOf,
  STRING,
  type Type,
  type Types,
} from '../input/checks.ts';
import { listening } from '../input/defaults.ts';
import { checkMinimums, cryptoPolicy, type CryptoPolicy } from '../envelope/crypto-policy.ts';
import { checkLimits, halfOf, orAborted, withDeadline, type RequestLimits } from '../async/deadline.ts';
import { KeyfoldError } from '../errors.ts';
import { KeyNaming, metaOf, SERVICE_NAMES, type KeyId, type KeyMeta, type ServiceNames } from '../records/ids.ts';
import { retirementOf, standingOf } from '../envelope/key-standing.ts';
import { keyDependencies } from '../envelope/key-dependencies.ts';
import { dueErasures, type ErasureRegister, type RegisteredErasure } from './erasure-table.ts';
import type { KeyRow, UnreadableRow } from './key-table.ts';
import {
  NO_ENVELOPE_EVENTS,
  type EnvelopeEvents,
  type EnvelopeKeyRecord,
  type KeyManagementService,
  type Metastore,
} from '../envelope/ports.ts';
import type { Clock } from '../async/clock.ts';
import type { Deadline } from '../async/deadline.ts';
import { SystemKeys } from '../envelope/system-keys.ts';

/** The part of a KMS that checks and renews the wraps of System Keys. */
export interface WrapRenewer {
  /**
   * Checks that each configured region opens a System Key, and makes wraps that are missing or outdated. The report
   * contains the new wraps, which the caller stores.
   * @throws the reason of the deadline's signal
   */
  renew(wrapped: Uint8Array, deadline: Deadline): Promise<WrapReport>;
}

/** What {@link WrapRenewer.renew} returns. */
export interface WrapReport {
  /** One entry for each configured region. */
  readonly regions: readonly RegionWrap[];
  /** The wraps that must replace the stored ones. Undefined if the stored wraps are up to date. */
  readonly renewed: Uint8Array | undefined;
  /** Why no region can ever open these bytes. Absent if the bytes are a wrap of this KMS. */
  readonly unreadable?: string;
}

/** The state of one System Key in one region. */
export interface RegionWrap {
  readonly region: string;
  /** Whether the region opened the key in this run. */
  readonly opens: boolean;
  /** Whether the region made a new wrap in this run. */
  readonly renewed: boolean;
  /** Why the region cannot open the key, or why it could not make a new wrap. */
  readonly fault?: string;
}

/** The part of a metastore that only maintenance uses. The methods throw the errors of {@link Metastore}. */
export interface SystemKeyStore {
  /** All rows of an id, latest first. */
  rows(id: KeyId, deadline: Deadline): Promise<KeyRow[]>;
  /**
   * Replaces the wraps in the row of a System Key.
   * @returns `changed`, without a write, if the row no longer equals `record`
   */
  replaceKey(record: EnvelopeKeyRecord, encryptedKey: Uint8Array, deadline: Deadline): Promise<'replaced' | 'changed'>;
}

/** The options of {@link SystemKeyMaintenance}. */
export interface MaintenanceOptions extends ServiceNames {
  readonly metastore: Metastore & SystemKeyStore;
  readonly kms: KeyManagementService & WrapRenewer;
  /** The register of erasures. A run reports the erasures that are due. Without a register, it reports none. */
  readonly erasures?: Pick<ErasureRegister, 'list'>;
  /** The policy of the service that uses the keys. */
  readonly policy?: Partial<CryptoPolicy>;
  readonly now?: Clock;
  /** Listeners for the events of the key lifecycle. Each of them is optional. */
  readonly events?: Partial<EnvelopeEvents>;
}

/** The state of one System Key after {@link SystemKeyMaintenance.run}. */
export interface SystemKeyReport {
  readonly id: string;
  /** The creation time of the key, in seconds since 1970. */
  readonly created: number | undefined;
  readonly state: 'valid' | 'expired' | 'before-minimum' | 'revoked' | 'dated-ahead' | 'unreadable';
  readonly regions: readonly RegionWrap[];
  /** Why the row or its key cannot be read, or why this run could not check it. */
  readonly fault?: string;
}

/** The result of {@link SystemKeyMaintenance.run}. */
export interface MaintenanceReport {
  /** One entry for each row, latest first. */
  readonly systemKeys: readonly SystemKeyReport[];
  /** The new System Key. Absent if the current one is not about to expire. */
  readonly created?: KeyMeta;
  /**
   * The erasures whose waiting time is over, but whose rows are not deleted yet. Absent if there are none. A run never
   * deletes a row.
   */
  readonly erasuresDue?: readonly RegisteredErasure[];
  /** Why the erasures could not be read. Absent if they could. */
  readonly erasuresFault?: string;
  /** Why the new System Key could not be made although it was due. Absent otherwise. */
  readonly createFault?: string;
}

/** A run creates the next System Key if this share or less of the current key's lifetime remains. */
export const AHEAD_SHARE = 0.1;
/** How many times a run tries to renew a row. An attempt fails if another run changes the row at the same time. */
const RENEW_ATTEMPTS = 3;
/** How many keys a run checks at the same time. */
const CONCURRENCY = 8;

const STORE = having('load', 'loadLatest', 'store', 'rows', 'replaceKey');
const REPLACED = oneOf('replaced', 'changed');
const WRAP: Type = {
  called: 'a Uint8Array that is not empty',
  holds: (value) => BYTES.holds(value) && byteLengthOf(value as Uint8Array) > 0,
};
const WRAP_REPORT: Types<WrapReport> = { regions: ARRAY, renewed: optional(WRAP), unreadable: optional(STRING) };
const ENTRY: Types<RegisteredErasure> = {
  partition: STRING,
  erase: STRING,
  at: NUMBER,
  due: NUMBER,
  deletedAt: optional(NUMBER),
};
const UNREADABLE_ROW: Types<UnreadableRow> = {
  id: STRING,
  created: optional(NUMBER),
  rawCreated: optional(STRING),
  unreadable: STRING,
};
const RENEWING_KMS = having('wrap', 'unwrap', 'renew');
const OPTIONS: Types<MaintenanceOptions> = {
  ...SERVICE_NAMES,
  metastore: STORE,
  kms: RENEWING_KMS,
  erasures: optional(having('list')),
  policy: optional(OBJECT),
  now: optional(FUNCTION),
  events: optional(EVENTS),
};

/**
 * Maintains the System Keys of one service and region suffix. A run renews their wraps, reports which regions can open
 * the keys, and makes the next System Key before the current one expires. Several runs may overlap, and a run may end
 * at any time.
 * @example
 * const maintenance = new SystemKeyMaintenance({ service: 'orders', product: 'shop', metastore, kms });
 * const { systemKeys } = await maintenance.run();
 */
export class SystemKeyMaintenance {
  readonly #options: MaintenanceOptions;
  readonly #id: KeyId;
  readonly #policy: CryptoPolicy;
  readonly #events: EnvelopeEvents;
  readonly #now: Clock;

  /**
   * @throws TypeError naming an option of the wrong type, an unknown option, or a port that lacks a method
   * @throws KeyfoldError `InvalidConfiguration`, listing what is wrong with the names or the policy
   */
  constructor(options: MaintenanceOptions) {
    this.#options = optionsOf(options, 'options', OPTIONS);
    this.#id = new KeyNaming(this.#options).systemKeyId;
    this.#policy = cryptoPolicy(this.#options.policy);
    this.#events = listening(NO_ENVELOPE_EVENTS, this.#options.events, 'options.events');
    this.#now = checkedClock(this.#options.now);
    checkMinimums(this.#policy, this.#now());
  }

  /**
   * Makes the next System Key if it is due, then checks every System Key. If the check of a key fails, or if the
   * deadline passes first, the report on that key has a `fault`. The run still reports on all other keys.
   * @throws TypeError for limits of the wrong type
   * @throws KeyfoldError `MetastoreUnavailable`, or the reason of the deadline's signal, if the run cannot list the
   * keys
   */
  async run(limits: RequestLimits = {}): Promise<MaintenanceReport> {
    checkLimits(limits);
    const { metastore } = this.#options;
    return withDeadline(limits, this.#now, async (deadline) => {
      const rows = itemsOf(await metastore.rows(this.#id, deadline), 'The answer of metastore.rows', checkedRow);
      // Reserve half of the time for the existing keys, because a region may hang while it wraps the new key.
      const made = await withDeadline(halfOf(deadline, this.#now), this.#now, (half) => this.#createAhead(half));
      const systemKeys: SystemKeyReport[] = [];
      const queue = rows.entries();
      const worker = async (): Promise<void> => {
        for (const [i, row] of queue) systemKeys[i] = await this.#maintain(row, deadline);
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, worker));
      return { systemKeys, ...made, ...(await this.#erasuresDue(deadline)) };
    });
  }

  async #erasuresDue(deadline: Deadline): Promise<Pick<MaintenanceReport, 'erasuresDue' | 'erasuresFault'>> {
    try {
      const listed = Promise.resolve(this.#options.erasures?.list() ?? []);
      const given = await orAborted(listed, deadline.signal);
      const entries = itemsOf(given, 'The answer of erasures.list', (entry, name) => membersOf(entry, name, ENTRY));
      const due = dueErasures(entries, this.#now());
      return due.length === 0 ? {} : { erasuresDue: due };
    } catch (error) {
      return { erasuresFault: faultOf(error) };
    }
  }

  async #createAhead(deadline: Deadline): Promise<Pick<MaintenanceReport, 'created' | 'createFault'>> {
    const { metastore, kms } = this.#options;
    const ports = { metastore: checkedMetastore(metastore), kms: checkedKms(kms) };
    const dependencies = keyDependencies({
      ...ports,
      events: this.#events,
      policy: this.#policy,
      keyRowProofs: 'verify',
      now: this.#now,
    });
    try {
      const created = await new SystemKeys(this.#id, dependencies).createAhead(
        this.#policy.expireAfterMs * AHEAD_SHARE,
        deadline,
      );
      return created === undefined ? {} : { created };
    } catch (error) {
      return { createFault: faultOf(error) };
    }
  }

  async #maintain(row: KeyRow, deadline: Deadline): Promise<SystemKeyReport> {
    if ('unreadable' in row) {
      return { id: row.id, created: row.created, state: 'unreadable', regions: [], fault: row.unreadable };
    }
    const state = retirementOf(this.#policy, standingOf(row, 0), this.#now()) ?? 'valid';
    const report = { ...metaOf(row), state: state as SystemKeyReport['state'] };
    try {
      const { regions, unreadable } = await this.#renew(row, deadline);
      return { ...report, regions, ...(unreadable !== undefined && { fault: unreadable }) };
    } catch (error) {
      return { ...report, regions: [], fault: faultOf(error) };
    }
  }

  async #renew(row: EnvelopeKeyRecord, deadline: Deadline): Promise<WrapReport> {
    const { metastore, kms } = this.#options;
    let record: EnvelopeKeyRecord | undefined = row;
    for (let attempt = 1; attempt <= RENEW_ATTEMPTS && record !== undefined; attempt += 1) {
      // The KMS may change the bytes that it gets, but the row is replaced only if it still has these bytes.
      const answer = await kms.renew(new Uint8Array(record.encryptedKey), deadline);
      const report = membersOf<WrapReport>(answer, 'The answer of kms.renew', WRAP_REPORT);
      if (report.renewed === undefined) return report;
      const outcome = await metastore.replaceKey(record, report.renewed, deadline);
      check(outcome, 'The answer of metastore.replaceKey', REPLACED);
      if (outcome === 'replaced') return report;
      // Another maintenance run has changed the row. The next attempt starts from its new content.
      record = await metastore.load(record.id, record.created, deadline);
    }
    throw new KeyfoldError('MetastoreUnavailable', 'The row changed during each attempt to renew its wraps.');
  }
}

/** Checks a row of a caller's metastore. @throws TypeError naming the member that has the wrong type */
function checkedRow(row: unknown, name: string): KeyRow {
  check(row, name, OBJECT);
  if (!('unreadable' in (row as KeyRow))) return checkedKeyRecord(row, name);
  return membersOf(row, name, UNREADABLE_ROW);
}

/** The code and the message of a KeyfoldError, for a report. @throws any other error, because that is a bug */
function faultOf(error: unknown): string {
  if (error instanceof KeyfoldError) return `${error.code}: ${error.message}`;
  throw error;
}
