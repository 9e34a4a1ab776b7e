import {
  KeyfoldError,
  MemoryMetastore,
  SessionFactory,
  StaticKms,
  type Deadline,
  type EnvelopeKeyRecord,
  type KeyManagementService,
  type Metastore,
  type SessionFactoryOptions,
  type Unwrapped,
} from '../../src/index.ts';
import { HandClock, noDeadline } from '../../src/testing/index.ts';

export { HandClock, noDeadline };

export const MINUTE_MS = 60_000;
export const DAY_MS = 86_400_000;

/** What a fake does before it returns, such as throw or wait. */
export type Interference = (call: string, deadline: Deadline) => Promise<void> | void;

/** Records the calls of a metastore and a KMS in one list: `Query IK`, `Get SK`, `Put IK`, `Wrap`, `Unwrap`. */
export class CallLog {
  #calls: string[] = [];

  add(call: string): void {
    this.#calls.push(call);
  }

  /** Returns the calls since the last `take`, and clears them. */
  take(): string[] {
    const calls = this.#calls;
    this.#calls = [];
    return calls;
  }
}

/** A metastore in memory that logs each call. A test can delay calls, make them fail, and change rows directly. */
class FakeMetastore implements Metastore {
  interfere: Interference = () => {};
  readonly log: CallLog;
  readonly rows = new Map<string, EnvelopeKeyRecord>();

  constructor(log = new CallLog()) {
    this.log = log;
  }

  async load(...[id, created, deadline]: Parameters<Metastore['load']>): Promise<EnvelopeKeyRecord | undefined> {
    await this.#call(`Get ${kindOf(id)}`, deadline);
    return this.rows.get(`${id} ${created}`);
  }

  async loadLatest(...[id, deadline]: Parameters<Metastore['loadLatest']>): Promise<EnvelopeKeyRecord | undefined> {
    await this.#call(`Query ${kindOf(id)}`, deadline);
    return this.latest(id);
  }

  async loadRecent(
    ...[id, notAfter, deadline]: Parameters<Required<Metastore>['loadRecent']>
  ): Promise<EnvelopeKeyRecord[]> {
    await this.#call(`Recent ${kindOf(id)}`, deadline);
    const rows = [...this.rows.values()].filter((row) => row.id === id && row.created <= notAfter);
    return rows.toSorted((a, b) => b.created - a.created).slice(0, 10);
  }

  async store(record: EnvelopeKeyRecord, deadline: Deadline): Promise<'stored' | 'duplicate'> {
    await this.#call(`Put ${kindOf(record.id)}`, deadline);
    const key = `${record.id} ${record.created}`;
    if (this.rows.has(key)) return 'duplicate';
    this.rows.set(key, record);
    return 'stored';
  }

  /** The rows of one kind of key, oldest first. */
  ofKind(kind: 'SK' | 'IK'): EnvelopeKeyRecord[] {
    return [...this.rows.values()].filter((row) => kindOf(row.id) === kind).toSorted((a, b) => a.created - b.created);
  }

  latest(id: string): EnvelopeKeyRecord | undefined {
    return [...this.rows.values()].filter((row) => row.id === id).toSorted((a, b) => b.created - a.created)[0];
  }

  /** Changes a row directly, as an operator would. */
  change(row: EnvelopeKeyRecord, changes: Partial<EnvelopeKeyRecord>): void {
    this.rows.set(`${row.id} ${row.created}`, { ...row, ...changes });
  }

  remove(row: EnvelopeKeyRecord): void {
    this.rows.delete(`${row.id} ${row.created}`);
  }

  async #call(call: string, deadline: Deadline): Promise<void> {
    this.log.add(call);
    await this.interfere(call, deadline);
  }
}

/** A static KMS that logs each call. A test can delay calls or make them fail. */
export class FakeKms implements KeyManagementService {
  interfere: Interference = () => {};
  /** Every buffer that has held a plaintext key, so that a test can check that it is zeroed. */
  readonly plaintexts: Uint8Array[] = [];
  readonly log: CallLog;
  readonly #real: StaticKms;

  constructor(log = new CallLog(), masterKey: Uint8Array = Buffer.alloc(32, 7)) {
    this.log = log;
    this.#real = new StaticKms(masterKey, {});
  }

  async wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    this.log.add('Wrap');
    this.plaintexts.push(key);
    await this.interfere('Wrap', deadline);
    return this.#real.wrap(key);
  }

  async unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped> {
    this.log.add('Unwrap');
    await this.interfere('Unwrap', deadline);
    const unwrapped = await this.#real.unwrap(wrapped);
    if ('key' in unwrapped) this.plaintexts.push(unwrapped.key);
    return unwrapped;
  }
}

/** A clock, a metastore and a KMS, all of them fakes. Any number of service processes can share them. */
export class FakeDependencies {
  readonly clock = new HandClock();
  readonly log = new CallLog();
  readonly metastore = new FakeMetastore(this.log);
  readonly kms = new FakeKms(this.log);

  /** Starts a process with a cold cache, on the same metastore and KMS. */
  process(options: Partial<SessionFactoryOptions> = {}): SessionFactory {
    return new SessionFactory({
      service: 'svc',
      product: 'prod',
      metastore: this.metastore,
      kms: this.kms,
      now: this.clock.now,
      ...options,
    });
  }
}

/** A service with a new metastore in memory, for tests that check neither the metastore nor the KMS. */
export function memoryService(options: Partial<SessionFactoryOptions> = {}): SessionFactory {
  const kms = new StaticKms(Buffer.alloc(32, 7), {});
  return new SessionFactory({ service: 'svc', product: 'prod', metastore: new MemoryMetastore(), kms, ...options });
}

/**
 * Returns the code of the KeyfoldError that a promise rejects with.
 * @throws any other error, and Error if the promise resolves
 */
export async function codeOf(work: Promise<unknown>): Promise<string> {
  const error = await errorOf(work);
  if (error instanceof KeyfoldError) return error.code;
  throw error;
}

/**
 * Returns what a promise rejects with.
 * @throws Error if the promise resolves
 */
export async function errorOf(work: Promise<unknown>): Promise<unknown> {
  let value: unknown;
  try {
    value = await work;
  } catch (error) {
    return error;
  }
  throw new Error(`resolved to ${typeof value} instead of rejecting`);
}

function kindOf(id: string): string {
  return id.startsWith('_SK_') ? 'SK' : 'IK';
}
