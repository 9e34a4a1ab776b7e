import { cryptoPolicy, type CryptoPolicy } from './crypto-policy.ts';
import { withDeadline, type RequestLimits } from './deadline.ts';
import { KeyfoldError } from './errors.ts';
import { KeyNaming, metaOf, type KeyId, type KeyMeta, type ServiceNames } from './ids.ts';
import { retirementOf, standingOf } from './key-standing.ts';
import type { KeyRow } from './key-table.ts';
import {
  NO_ENVELOPE_EVENTS,
  type Clock,
  type Deadline,
  type EnvelopeEvents,
  type EnvelopeKeyRecord,
  type KeyManagementService,
  type Metastore,
} from './ports.ts';
import { SystemKeys } from './system-keys.ts';

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
  readonly state: 'valid' | 'expired' | 'revoked' | 'unreadable';
  readonly regions: readonly RegionWrap[];
  /** Why the row, or its key, cannot be read at all. */
  readonly unreadable?: string;
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

/**
 * Looks after one service's System Keys (those of its own region suffix): renews their wraps, tells which regions open them, and
 * makes the next one before the present one ends. Any number may run at once, and any may be ended at any time.
 */
export class SystemKeyMaintenance {
  readonly #options: MaintenanceOptions;
  readonly #id: KeyId;
  readonly #policy: CryptoPolicy;
  readonly #now: Clock;

  /** @throws KeyfoldError `InvalidConfiguration`, listing what is wrong with the names or with the policy */
  constructor(options: MaintenanceOptions) {
    this.#options = options;
    this.#id = new KeyNaming(options).systemKeyId;
    this.#policy = cryptoPolicy(options.policy);
    this.#now = options.now ?? Date.now;
  }

  /**
   * Goes through all System Keys. Each is done with before the next: what was renewed stays renewed where the time runs out.
   * @throws KeyfoldError as the metastore does, or the deadline's reason
   */
  run(limits: RequestLimits = {}): Promise<MaintenanceReport> {
    return withDeadline(limits, this.#now, async (deadline) => {
      const systemKeys: SystemKeyReport[] = [];
      for (const row of await this.#options.metastore.rows(this.#id, deadline)) {
        systemKeys.push(await this.#maintain(row, deadline));
      }
      return { systemKeys, ...(await this.#createAhead(deadline)) };
    });
  }

  async #createAhead(deadline: Deadline): Promise<Pick<MaintenanceReport, 'created' | 'createFault'>> {
    const { metastore, kms, events = NO_ENVELOPE_EVENTS } = this.#options;
    const world = { metastore, kms, events, policy: this.#policy, now: this.#now };
    try {
      const created = await new SystemKeys(this.#id, world).createAhead(this.#policy.expireAfterMs * AHEAD, deadline);
      return created === undefined ? {} : { created };
    } catch (error) {
      deadline.signal.throwIfAborted();
      if (!(error instanceof KeyfoldError)) throw error;
      return { createFault: `${error.code}: ${error.message}` };
    }
  }

  async #maintain(row: KeyRow, deadline: Deadline): Promise<SystemKeyReport> {
    if ('unreadable' in row) {
      return { id: row.id, created: row.created, state: 'unreadable', regions: [], unreadable: row.unreadable };
    }
    const { metastore, kms } = this.#options;
    let record = row;
    for (let attempt = 1; ; attempt += 1) {
      const { regions, renewed, unreadable } = await kms.renew(record.encryptedKey, deadline);
      const isStored = renewed === undefined || (await metastore.replaceKey(record, renewed, deadline)) === 'replaced';
      if (isStored) {
        const state = retirementOf(this.#policy, standingOf(record, this.#now()), this.#now()) ?? 'valid';
        return {
          ...metaOf(record),
          state: state as SystemKeyReport['state'],
          regions,
          ...(unreadable !== undefined && { unreadable }),
        };
      }
      // Another maintenance was quicker; or someone has revoked it, which does not touch the wraps.
      const changed = await metastore.load(record.id, record.created, deadline);
      if (changed === undefined || attempt === RENEW_ATTEMPTS) throw unstable(record);
      record = changed;
    }
  }
}

function unstable({ id, created }: KeyMeta): KeyfoldError {
  return new KeyfoldError('MetastoreUnavailable', `The key row ${id} created ${created} changed while it was renewed.`);
}
