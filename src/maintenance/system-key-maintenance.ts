import { checkedClock, checkedKms, checkedMetastore, EVENTS } from '../envelope/checked-ports.ts';
import { BYTES, check, FUNCTION, having, OBJECT, optional, optionsOf, type Types } from '../input/checks.ts';
import { cryptoPolicy, type CryptoPolicy } from '../envelope/crypto-policy.ts';
import { checkLimits, halfOf, withDeadline, type RequestLimits } from '../async/deadline.ts';
import { KeyfoldError } from '../errors.ts';
import { KeyNaming, metaOf, SERVICE_NAMES, type KeyId, type KeyMeta, type ServiceNames } from '../records/ids.ts';
import { retirementOf, standingOf } from '../envelope/key-standing.ts';
import { keyDependencies } from '../envelope/key-dependencies.ts';
import type { KeyRow } from './key-table.ts';
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

/** What renews the wraps of System Keys. */
export interface WrapRenewer {
  /**
   * Asks each region whether it opens a System Key, and makes new wraps where the configuration wants others. Nothing is stored.
   * @throws the deadline's reason
   */
  renew(wrapped: Uint8Array, deadline: Deadline): Promise<WrapReport>;
}

/** What a {@link WrapRenewer} found and made. */
export interface WrapReport {
  /** Each configured region. */
  readonly regions: readonly RegionWrap[];
  /** The wraps to be stored in the place of the old; undefined where those will do. */
  readonly renewed: Uint8Array | undefined;
  /** Why nobody could open it; absent where it is wrapped by KMS. */
  readonly unreadable?: string;
}

/** How one region stands to one System Key. */
export interface RegionWrap {
  readonly region: string;
  /** Whether the region can open it: it has just done so. */
  readonly opens: boolean;
  /** Whether its wrap was made anew. */
  readonly renewed: boolean;
  /** Why it does not open, or why its wrap could not be renewed. */
  readonly fault?: string;
}

/** Where System Keys are kept, for their maintenance. Throws as the metastore does. */
export interface SystemKeyStore {
  /** All rows of an id, latest first. */
  rows(id: KeyId, deadline: Deadline): Promise<KeyRow[]>;
  /** Puts another wrap of the same key in a record's place; `changed` says that the row is no longer what the record says. */
  replaceKey(record: EnvelopeKeyRecord, encryptedKey: Uint8Array, deadline: Deadline): Promise<'replaced' | 'changed'>;
}

/** What {@link SystemKeyMaintenance} is made of. */
export interface MaintenanceOptions extends ServiceNames {
  readonly metastore: Metastore & SystemKeyStore;
  readonly kms: KeyManagementService & WrapRenewer;
  /** The policy of the service whose keys they are. */
  readonly policy?: Partial<CryptoPolicy>;
  readonly now?: Clock;
  readonly events?: EnvelopeEvents;
}

/** How one System Key was found, and left. */
export interface SystemKeyReport {
  readonly id: string;
  /** In seconds since 1970. */
  readonly created: number | undefined;
  readonly state: 'valid' | 'expired' | 'revoked' | 'dated-ahead' | 'unreadable';
  readonly regions: readonly RegionWrap[];
  /** Why the row or its key cannot be read, or could not be looked after now. */
  readonly fault?: string;
}

/** What a maintenance did. */
export interface MaintenanceReport {
  /** Latest first. */
  readonly systemKeys: readonly SystemKeyReport[];
  /** The System Key made ahead of the present one's end; absent where that was not due. */
  readonly created?: KeyMeta;
  /** Why it could not be made, although it was due. */
  readonly createFault?: string;
}

/** Of a key's life, how much is left when its successor is made. */
const AHEAD = 0.1;
/** How often a row that has changed meanwhile is taken up again. */
const RENEW_ATTEMPTS = 3;
/** How many keys are looked after side by side. */
const CONCURRENCY = 8;

const STORE = having('load', 'loadLatest', 'store', 'rows', 'replaceKey');
const RENEWING_KMS = having('wrap', 'unwrap', 'renew');
const OPTIONS: Types<MaintenanceOptions> = {
  ...SERVICE_NAMES,
  metastore: STORE,
  kms: RENEWING_KMS,
  policy: optional(OBJECT),
  now: optional(FUNCTION),
  events: optional(EVENTS),
};

/**
 * Looks after one service's System Keys (those of its own region suffix): renews their wraps, tells which regions open them, and
 * makes the next one before the present one ends. Any number may run at once, and any may be ended at any time.
 */
export class SystemKeyMaintenance {
  readonly #options: MaintenanceOptions;
  readonly #id: KeyId;
  readonly #policy: CryptoPolicy;
  readonly #now: Clock;

  /**
   * @throws TypeError naming an option of a wrong type, one that there is not, and a port that lacks a method
   * @throws KeyfoldError `InvalidConfiguration`, listing what is wrong with the names or with the policy
   */
  constructor(options: MaintenanceOptions) {
    this.#options = optionsOf(options, 'options', OPTIONS);
    this.#id = new KeyNaming(this.#options).systemKeyId;
    this.#policy = cryptoPolicy(this.#options.policy);
    this.#now = checkedClock(this.#options.now);
  }

  /**
   * Makes the next System Key if that is due, and goes through all that there are. What fails for one is in its report, and does not
   * keep the others from being looked after; nor does the end of the time.
   * @throws TypeError for limits of a wrong type
   * @throws KeyfoldError `MetastoreUnavailable`, or the deadline's reason, where the keys cannot even be listed
   */
  async run(limits: RequestLimits = {}): Promise<MaintenanceReport> {
    checkLimits(limits);
    const { metastore } = this.#options;
    return withDeadline(limits, this.#now, async (deadline) => {
      const rows = await metastore.rows(this.#id, deadline);
      // A region that hangs must not keep the keys that there are from being looked after.
      const made = await withDeadline(halfOf(deadline, this.#now), this.#now, (half) => this.#createAhead(half));
      const systemKeys: SystemKeyReport[] = [];
      const queue = rows.entries();
      const worker = async (): Promise<void> => {
        for (const [i, row] of queue) systemKeys[i] = await this.#maintain(row, deadline);
      };
      await Promise.all(Array.from({ length: CONCURRENCY }, worker));
      return { systemKeys, ...made };
    });
  }

  async #createAhead(deadline: Deadline): Promise<Pick<MaintenanceReport, 'created' | 'createFault'>> {
    const { metastore, kms, events = NO_ENVELOPE_EVENTS } = this.#options;
    const ports = { metastore: checkedMetastore(metastore), kms: checkedKms(kms) };
    const world = keyDependencies({ ...ports, events, policy: this.#policy, now: this.#now });
    try {
      const created = await new SystemKeys(this.#id, world).createAhead(this.#policy.expireAfterMs * AHEAD, deadline);
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
      const report = await kms.renew(record.encryptedKey, deadline);
      if (report.renewed === undefined) return report;
      check(report.renewed, 'The wraps of kms.renew', BYTES);
      if ((await metastore.replaceKey(record, report.renewed, deadline)) === 'replaced') return report;
      // Another maintenance was quicker.
      record = await metastore.load(record.id, record.created, deadline);
    }
    throw new KeyfoldError('MetastoreUnavailable', 'The row changed each time that its wraps were to be renewed.');
  }
}

/** What went wrong with one key, in words. @throws what is not ours */
function faultOf(error: unknown): string {
  if (error instanceof KeyfoldError) return `${error.code}: ${error.message}`;
  throw error;
}
