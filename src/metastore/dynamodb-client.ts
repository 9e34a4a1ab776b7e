import {
  ConditionalCheckFailedException,
  DynamoDBClient,
  GetItemCommand,
  QueryCommand,
  UpdateItemCommand,
  type QueryCommandInput,
} from '@aws-sdk/client-dynamodb';
import { keptConnections } from '../connections/agents.ts';
import { retriesOf } from '../connections/retries.ts';
import { NUMBER, optional, STRING, type Types } from '../input/checks.ts';
import { numberFaults } from '../input/defaults.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import { keyOfItem, readKeyItem, type KeyItem } from './dynamodb-item.ts';

/** Where the key table is. */
export interface DynamoDbMetastoreOptions {
  /** `EncryptionKey` unless said otherwise, as Asherah's. */
  readonly tableName?: string;
  /** The table's region; the SDK's own choice unless said. */
  readonly region?: string;
  /** Replaces AWS's endpoint, for an emulator. */
  readonly endpoint?: string;
  readonly connectionTimeoutMs?: number;
  /** For one attempt to answer, and for an answer that has begun to go on. */
  readonly requestTimeoutMs?: number;
}

/** What {@link DynamoDbMetastoreOptions} are made of. */
export const DYNAMODB_OPTIONS: Types<DynamoDbMetastoreOptions> = {
  tableName: optional(STRING),
  region: optional(STRING),
  endpoint: optional(STRING),
  connectionTimeoutMs: optional(NUMBER),
  requestTimeoutMs: optional(NUMBER),
};

const DEFAULT_TIMEOUTS = { connectionTimeoutMs: 1000, requestTimeoutMs: 3000 };

/**
 * The SDK's own number is another from one client and version to the next, and how long an outage is waited for hangs
 * on it.
 */
const MAX_ATTEMPTS = 3;
/** DynamoDB answers within some ten milliseconds; a starved process must not take that for a dead connection. */
const ANSWER_AFTER_FREEZE_MS = 1000;

/**
 * The table's name and a client for it. Throttling, 5xx and the network's faults are retried by the SDK's standard
 * mode.
 * @throws KeyfoldError `InvalidConfiguration` for a time-out that is no positive whole number
 */
export function dynamoDbClient(options: DynamoDbMetastoreOptions): { tableName: string; client: DynamoDBClient } {
  const { tableName = 'EncryptionKey', region, endpoint } = options;
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options };
  const { connectionTimeoutMs, requestTimeoutMs } = timeouts;
  const faults = numberFaults(timeouts, DEFAULT_TIMEOUTS);
  if (faults.length > 0) throw invalidConfiguration(faults);
  const client = new DynamoDBClient({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    maxAttempts: MAX_ATTEMPTS,
    retryStrategy: retriesOf(MAX_ATTEMPTS),
    requestHandler: {
      connectionTimeout: connectionTimeoutMs,
      requestTimeout: requestTimeoutMs,
      throwOnRequestTimeout: true,
      // The request time-out ends with an answer's head; this one sees that its body comes, too.
      socketTimeout: requestTimeoutMs,
      ...keptConnections({ answerWithinMs: ANSWER_AFTER_FREEZE_MS }),
    },
  });
  return { tableName, client };
}

/** Reads the row of that id and time, in seconds since 1970; consistently. */
export function readOne(tableName: string, id: string, created: number): GetItemCommand {
  return new GetItemCommand({ TableName: tableName, Key: keyOfItem(id, created), ConsistentRead: true });
}

/** Reads the rows of an id, latest first; consistently. */
export function rowsOf(tableName: string, id: string): QueryCommandInput {
  return {
    TableName: tableName,
    KeyConditionExpression: 'Id = :id',
    ExpressionAttributeValues: { ':id': { S: id } },
    ScanIndexForward: false,
    ConsistentRead: true,
  };
}

/** All rows of some pages, those that do not parse too. */
export async function rowsFrom(pages: AsyncIterable<{ readonly Items?: KeyItem[] | undefined }>): Promise<KeyRow[]> {
  const rows: KeyRow[] = [];
  for await (const { Items: items = [] } of pages) for (const item of items) rows.push(readKeyItem(item));
  return rows;
}

/** Reads the row of an id that was created last. */
export function readLatest(tableName: string, id: string): QueryCommand {
  return new QueryCommand({ ...rowsOf(tableName, id), Limit: 1 });
}

/** Reads the rows of an id that were created up to a date, latest first, at most ten. */
export function readRecent(tableName: string, id: string, notAfter: number): QueryCommand {
  const query = rowsOf(tableName, id);
  return new QueryCommand({
    ...query,
    KeyConditionExpression: `${query.KeyConditionExpression} AND Created <= :notAfter`,
    ExpressionAttributeValues: { ...query.ExpressionAttributeValues, ':notAfter': { N: String(notAfter) } },
    Limit: 10,
  });
}

/** Flags a key as revoked, whose row must be there. */
export function revocationOf(tableName: string, id: string, created: number): UpdateItemCommand {
  return new UpdateItemCommand({
    TableName: tableName,
    Key: keyOfItem(id, created),
    UpdateExpression: 'SET KeyRecord.Revoked = :true',
    ConditionExpression: 'attribute_exists(Id)',
    ExpressionAttributeValues: { ':true': { BOOL: true } },
  });
}

/**
 * What a conditional write comes to: `done`, or `refused` where its condition does not hold. Any other failure is
 * thrown.
 */
export async function unlessRefused<Done, Refused>(
  write: Promise<unknown>,
  done: Done,
  refused: Refused,
): Promise<Done | Refused> {
  try {
    await write;
    return done;
  } catch (error) {
    if (error instanceof ConditionalCheckFailedException) return refused;
    throw error;
  }
}

/** The name of what a call of the SDK threw, all that is kept of it: the SDK quotes answers in some of its errors. */
export function errorNameOf(error: unknown): string {
  return error instanceof Error ? error.name : 'UnknownError';
}

/** That the table could not be read or written, and the name of the error for the log. */
export function metastoreUnavailable(tableName: string, errorName: string): KeyfoldError {
  return new KeyfoldError('MetastoreUnavailable', 'The metastore does not answer.', {
    cause: new Error(`DynamoDB table ${tableName}: ${errorName}`),
  });
}
