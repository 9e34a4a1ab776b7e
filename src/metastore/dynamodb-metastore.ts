import {
  PutItemCommand,
  QueryCommand,
  UpdateItemCommand,
  type DynamoDBClient,
  type QueryCommandInput,
  type QueryCommandOutput,
} from '@aws-sdk/client-dynamodb';
import { checkedKeyRecord, checkSeconds } from '../envelope/checked-ports.ts';
import { errorNameOf } from '../errors.ts';
import { BYTES, check, having, NUMBER, optional, optionsOf, STRING, type Types } from '../input/checks.ts';
import { guardHandler } from '../connections/agents.ts';
import { addressOf, faultText } from '../connections/call-fault.ts';
import { listening } from '../input/defaults.ts';
import { checkDeadline, orAborted } from '../async/deadline.ts';
import { impossibleKeyId, isPossibleKeyId, type EpochSeconds, type KeyId } from '../records/ids.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import type { EnvelopeKeyRecord, Metastore } from '../envelope/ports.ts';
import type { Deadline } from '../async/deadline.ts';
import { Semaphore } from '../async/semaphore.ts';
import type { SystemKeyStore } from '../maintenance/system-key-maintenance.ts';
import {
  dynamoDbClient,
  metastoreUnavailable,
  readLatest,
  readRecent,
  readOne,
  rowsFrom,
  rowsOf,
  unlessRefused,
} from './dynamodb-client.ts';
import { DYNAMODB_OPTIONS, type DynamoDbMetastoreOptions } from './dynamodb-options.ts';
import { decodeKeyItem, encodeKeyItem, isPossibleKey, keyAttribute, keyOfItem, readKeyItem } from './dynamodb-item.ts';

/**
 * Events of a metastore, for an operator's logs and metrics. They are never in responses to callers. The errors of a
 * listener are ignored.
 */
export interface MetastoreEvents {
  /** A request has ended, after all its attempts. `errorName` is absent if it succeeded. */
  metastoreCalled(action: MetastoreAction, latencyMs: number, errorName?: string): void;
}

/** The DynamoDB actions that this service calls. */
export type MetastoreAction = 'GetItem' | 'Query' | 'PutItem' | 'UpdateItem';

/** The last known state of the table in this process. */
export interface MetastoreState {
  /** The result of the last call. `unknown` until the first call ends. */
  readonly state: 'ok' | 'unknown' | 'unavailable';
  /** When the last call ended, in milliseconds since 1970. Absent until the first call ends. */
  readonly atMs?: number;
  /** The last failure, even if later calls succeeded. Absent if no call has failed. */
  readonly lastError?: { readonly errorName: string; readonly atMs: number };
}

/** The table's options, and listeners for the events that its calls emit. */
type Options = DynamoDbMetastoreOptions & { readonly events?: Partial<MetastoreEvents> };

const OPTIONS: Types<Options> = { ...DYNAMODB_OPTIONS, events: optional(having()) };
const NO_EVENTS: MetastoreEvents = { metastoreCalled: () => {} };

/**
 * The maximum number of concurrent calls. It equals the connection limit of the SDK's client. Without this maximum, a
 * batch of records with invented keys could start a thousand calls. The SDK would report calls that wait for a
 * connection as connection timeouts.
 */
const MAX_CONCURRENT_CALLS = 50;

/**
 * If the deadline ends a call that has lasted at least this long, in milliseconds, the call counts as a failure of the
 * table. A shorter call says nothing about the table, because its caller had too little time or was no longer waiting.
 */
const LONG_CALL_MS = 500;

/**
 * Key records in a DynamoDB table with Asherah's schema. The SDK's standard retry mode retries throttling and 5xx
 * responses.
 */
export class DynamoDbMetastore implements Metastore, SystemKeyStore {
  readonly #client: DynamoDBClient;
  readonly #isGiven: boolean;
  readonly #tableName: string;
  readonly #events: MetastoreEvents;
  readonly #calls = new Semaphore(MAX_CONCURRENT_CALLS);
  #state: MetastoreState = { state: 'unknown' };

  /**
   * @throws TypeError that names an option of the wrong type or an unknown option
   * @throws KeyfoldError `InvalidConfiguration`, listing every option with which all requests would fail
   */
  constructor(options: Options = {}) {
    const given = optionsOf(options, 'options', OPTIONS);
    const { tableName, client } = dynamoDbClient(given);
    this.#tableName = tableName;
    this.#events = listening(NO_EVENTS, given.events, 'options.events');
    this.#client = client;
    this.#isGiven = given.client !== undefined;
  }

  /** The last known state of the table. Sends no request. */
  get state(): MetastoreState {
    return this.#state;
  }

  async load(id: KeyId, created: EpochSeconds, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined> {
    check(id, 'id', STRING);
    check(created, 'created', NUMBER);
    checkDeadline(deadline);
    if (!isPossibleKey(id, created)) return undefined;
    const command = readOne(this.#tableName, id, created);
    const { Item } = await this.#call('GetItem', deadline, (abortSignal) =>
      this.#client.send(command, { abortSignal }),
    );
    return Item && decodeKeyItem(Item);
  }

  async loadLatest(id: KeyId, deadline: Deadline): Promise<EnvelopeKeyRecord | undefined> {
    check(id, 'id', STRING);
    checkDeadline(deadline);
    if (!isPossibleKeyId(id)) return undefined;
    const command = readLatest(this.#tableName, id);
    const { Items } = await this.#call('Query', deadline, (abortSignal) => this.#client.send(command, { abortSignal }));
    const latest = Items?.[0];
    return latest && decodeKeyItem(latest);
  }

  async loadRecent(id: KeyId, notAfter: EpochSeconds, deadline: Deadline): Promise<EnvelopeKeyRecord[]> {
    check(id, 'id', STRING);
    checkSeconds(notAfter, 'notAfter');
    checkDeadline(deadline);
    if (!isPossibleKeyId(id)) return [];
    const command = readRecent(this.#tableName, id, notAfter);
    const { Items: items = [] } = await this.#call('Query', deadline, (abortSignal) =>
      this.#client.send(command, { abortSignal }),
    );
    const rows = items.map(readKeyItem);
    const broken = rows.findIndex((row) => 'unreadable' in row);
    // If the latest row is unreadable, decode it again, which throws the reason. If another row is unreadable, end the
    // list before it. With older rows in the list, the unreadable row would look absent.
    if (broken === 0) return items.map(decodeKeyItem);
    return rows.slice(0, broken === -1 ? undefined : broken) as EnvelopeKeyRecord[];
  }

  /**
   * @throws KeyfoldError `InvalidRequest` for an ID that no row can have, in addition to the errors of {@link
   * Metastore}
   */
  async store(record: EnvelopeKeyRecord, deadline: Deadline): Promise<'stored' | 'duplicate'> {
    const given = checkedKeyRecord(record, 'record');
    checkDeadline(deadline);
    if (!isPossibleKeyId(given.id)) throw impossibleKeyId();
    const command = new PutItemCommand({
      TableName: this.#tableName,
      Item: encodeKeyItem(given),
      ConditionExpression: 'attribute_not_exists(Id)',
    });
    return this.#call('PutItem', deadline, (abortSignal) =>
      unlessRefused(this.#client.send(command, { abortSignal }), 'stored', 'duplicate'),
    );
  }

  async rows(id: KeyId, deadline: Deadline): Promise<KeyRow[]> {
    check(id, 'id', STRING);
    checkDeadline(deadline);
    if (!isPossibleKeyId(id)) return [];
    return this.#call('Query', deadline, (abortSignal) => rowsFrom(this.#pagesOf(id, abortSignal)));
  }

  async replaceKey(
    record: EnvelopeKeyRecord,
    encryptedKey: Uint8Array,
    deadline: Deadline,
  ): Promise<'replaced' | 'changed'> {
    const { id, created, encryptedKey: present } = checkedKeyRecord(record, 'record');
    check(encryptedKey, 'encryptedKey', BYTES);
    checkDeadline(deadline);
    if (!isPossibleKeyId(id)) return 'changed';
    const command = new UpdateItemCommand({
      TableName: this.#tableName,
      Key: keyOfItem(id, created),
      UpdateExpression: 'SET KeyRecord.#key = :renewed',
      ConditionExpression: 'KeyRecord.#key = :present',
      ExpressionAttributeNames: { '#key': 'Key' },
      ExpressionAttributeValues: { ':renewed': keyAttribute(encryptedKey), ':present': keyAttribute(present) },
    });
    return this.#call('UpdateItem', deadline, (abortSignal) =>
      unlessRefused(this.#client.send(command, { abortSignal }), 'replaced', 'changed'),
    );
  }

  /**
   * Yields the pages of an ID's rows. It does not use the SDK's paginator, which would refuse a caller's client from
   * another version of the SDK.
   */
  async *#pagesOf(id: KeyId, abortSignal: AbortSignal): AsyncGenerator<QueryCommandOutput> {
    let next: QueryCommandInput['ExclusiveStartKey'];
    do {
      const command = new QueryCommand({ ...rowsOf(this.#tableName, id), ExclusiveStartKey: next });
      const page = await this.#client.send(command, { abortSignal });
      yield page;
      next = page.LastEvaluatedKey;
    } while (next !== undefined);
  }

  async #call<T>(action: MetastoreAction, deadline: Deadline, send: (signal: AbortSignal) => Promise<T>): Promise<T> {
    let beganAtMs = performance.now();
    const result = this.#calls.run(() => {
      beganAtMs = performance.now();
      this.#guard();
      return send(deadline.signal);
    });
    try {
      const answer = await orAborted(result, deadline.signal);
      this.#state = { ...this.#state, state: 'ok', atMs: Date.now() };
      this.#events.metastoreCalled(action, performance.now() - beganAtMs);
      return answer;
    } catch (error) {
      const latencyMs = performance.now() - beganAtMs;
      // If the deadline ended the call, the cause is unknown. The table counts as unavailable only if the call lasted
      // for at least `LONG_CALL_MS`.
      if (latencyMs < LONG_CALL_MS) deadline.signal.throwIfAborted();
      const name = deadline.signal.aborted ? 'NoAnswerInTime' : errorNameOf(error);
      const atMs = Date.now();
      this.#state = { state: 'unavailable', atMs, lastError: { errorName: name, atMs } };
      this.#events.metastoreCalled(action, latencyMs, name);
      deadline.signal.throwIfAborted();
      // Use the error's code, because a function's log must not contain error messages.
      const fault = faultText({ name, detail: addressOf(error) });
      throw await metastoreUnavailable(this.#client, this.#tableName, fault);
    } finally {
      this.#guard();
    }
  }

  /**
   * Guards the HTTP agents of a caller's client against freezes. Call this before each request, and also after it,
   * because the client creates the agents during its first request.
   */
  #guard(): void {
    if (this.#isGiven) guardHandler(this.#client.config.requestHandler);
  }
}
