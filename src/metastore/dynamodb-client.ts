import { DynamoDBClient, GetItemCommand, QueryCommand, type QueryCommandInput } from '@aws-sdk/client-dynamodb';
import { timerFaults } from '../async/deadline.ts';
import { keptConnections } from '../connections/agents.ts';
import { endpointFaults, isOfOtherRegion } from '../input/endpoint.ts';
import { foundCredentials } from '../connections/found-credentials.ts';
import { retriesOf } from '../connections/retries.ts';
import { withTimeLimit } from '../connections/sdk-client.ts';
import { numberFaults } from '../input/defaults.ts';
import { errorNameOf, invalidConfiguration, KeyfoldError } from '../errors.ts';
import type { KeyRow } from '../maintenance/key-table.ts';
import type { DynamoDbMetastoreOptions } from './dynamodb-options.ts';
import { isRegionName } from '../records/ids.ts';
import { isTableName, NO_TABLE_NAME, regionOfTable } from './table-name.ts';
import { keyOfItem, readKeyItem, type KeyItem } from './dynamodb-item.ts';

/** The options that configure Keyfold's own client. They cannot be combined with a caller's client. */
const OWN_SETTINGS = ['region', 'endpoint', 'connectionTimeoutMs', 'requestTimeoutMs', 'credentials'] as const;

/**
 * With these timeouts, three attempts take about 10 seconds during an outage. Enough time then remains to respond to an
 * HTTP request.
 */
const DEFAULT_TIMEOUTS = { connectionTimeoutMs: 1000, requestTimeoutMs: 3000 };

/**
 * The number of attempts determines how long a call takes during an outage. It is fixed here, because the SDK's default
 * depends on the client and on the version.
 */
const MAX_ATTEMPTS = 3;
/**
 * A connection from before a Lambda freeze counts as dead if it delivers no response for this long. DynamoDB responds
 * within about 10 milliseconds, so 1 second also suffices for a process that is short of CPU time.
 */
const ANSWER_AFTER_FREEZE_MS = 1000;

/**
 * Creates the client for a key table, or uses the caller's client. The SDK's standard retry mode retries throttling,
 * 5xx responses and network errors.
 * @throws TypeError if the caller passes both a client and settings for Keyfold's own client
 * @throws KeyfoldError `InvalidConfiguration`, listing every option with which all requests would fail
 */
export function dynamoDbClient(options: DynamoDbMetastoreOptions): { tableName: string; client: DynamoDBClient } {
  const { tableName = 'EncryptionKey', region, endpoint, credentials, client: given } = options;
  const tableFaults = isTableName(tableName) ? [] : [`tableName ${NO_TABLE_NAME}`];
  if (given !== undefined) {
    const both = OWN_SETTINGS.find((setting) => options[setting] !== undefined);
    if (both !== undefined) throw new TypeError(`options must not have both client and ${both}.`);
    if (tableFaults.length > 0) throw invalidConfiguration(tableFaults);
    return { tableName, client: given as unknown as DynamoDBClient };
  }
  const timeouts = { ...DEFAULT_TIMEOUTS, ...options };
  const { connectionTimeoutMs, requestTimeoutMs } = timeouts;
  const faults = [
    ...numberFaults(timeouts, DEFAULT_TIMEOUTS),
    ...timerFaults(timeouts, ['connectionTimeoutMs', 'requestTimeoutMs']),
    ...tableFaults,
    ...(region === undefined || isRegionName(region) ? [] : ['region is not the name of an AWS region']),
    ...(region === undefined || (regionOfTable(tableName) ?? region) === region
      ? []
      : ['tableName is in another region']),
    ...endpointFaults(endpoint).map((fault) => `endpoint ${fault}`),
    ...(endpoint !== undefined && region !== undefined && isOfOtherRegion(endpoint, region)
      ? ['endpoint is in another region']
      : []),
  ];
  if (faults.length > 0) throw invalidConfiguration(faults);
  const client = new DynamoDBClient({
    ...(region === undefined ? {} : { region }),
    ...(endpoint === undefined ? {} : { endpoint }),
    credentials: credentials === undefined ? foundCredentials() : withTimeLimit(credentials),
    maxAttempts: MAX_ATTEMPTS,
    retryStrategy: retriesOf(MAX_ATTEMPTS),
    requestHandler: {
      connectionTimeout: connectionTimeoutMs,
      requestTimeout: requestTimeoutMs,
      throwOnRequestTimeout: true,
      // `requestTimeout` covers only the wait for the beginning of a response. `socketTimeout` also covers its body.
      socketTimeout: requestTimeoutMs,
      ...keptConnections({ answerWithinMs: ANSWER_AFTER_FREEZE_MS }),
    },
  });
  return { tableName, client };
}

/** Reads one row with a consistent read. `created` is in seconds since 1970. */
export function readOne(tableName: string, id: string, created: number): GetItemCommand {
  return new GetItemCommand({ TableName: tableName, Key: keyOfItem(id, created), ConsistentRead: true });
}

/** Reads all rows of an id with a consistent read, the latest first. */
export function rowsOf(tableName: string, id: string): QueryCommandInput {
  return {
    TableName: tableName,
    KeyConditionExpression: 'Id = :id',
    ExpressionAttributeValues: { ':id': { S: id } },
    ScanIndexForward: false,
    ConsistentRead: true,
  };
}

/** Collects the rows of all pages, including rows that cannot be parsed. */
export async function rowsFrom(pages: AsyncIterable<{ readonly Items?: KeyItem[] | undefined }>): Promise<KeyRow[]> {
  const rows: KeyRow[] = [];
  for await (const { Items: items = [] } of pages) for (const item of items) rows.push(readKeyItem(item));
  return rows;
}

/** Reads the latest row of an id. */
export function readLatest(tableName: string, id: string): QueryCommand {
  return new QueryCommand({ ...rowsOf(tableName, id), Limit: 1 });
}

/**
 * Reads the ten latest rows of an id that were created at or before `notAfter`, in seconds since 1970. The latest comes
 * first.
 */
export function readRecent(tableName: string, id: string, notAfter: number): QueryCommand {
  const query = rowsOf(tableName, id);
  return new QueryCommand({
    ...query,
    KeyConditionExpression: `${query.KeyConditionExpression} AND Created <= :notAfter`,
    ExpressionAttributeValues: { ...query.ExpressionAttributeValues, ':notAfter': { N: String(notAfter) } },
    Limit: 10,
  });
}

/** Returns `done` after a conditional write, or `refused` if its condition failed. Throws any other error. */
export async function unlessRefused<Done, Refused>(
  write: Promise<unknown>,
  done: Done,
  refused: Refused,
): Promise<Done | Refused> {
  try {
    await write;
    return done;
  } catch (error) {
    // Compare the name, because a caller's client may throw the class of another version of the SDK.
    if (errorNameOf(error) === 'ConditionalCheckFailedException') return refused;
    throw error;
  }
}

/**
 * Builds the error for a table that could not be read or written. For the log, its cause names the table and region.
 * @param fault the name of the SDK's error, and the address that did not respond
 * @throws KeyfoldError `InvalidConfiguration` if the SDK has found no region. Then it has sent no request either.
 */
export async function metastoreUnavailable(
  { config }: DynamoDBClient,
  tableName: string,
  fault: string,
): Promise<KeyfoldError> {
  const region = await config.region().catch((error: unknown) => {
    if (String(error) === 'Error: Region is missing') throw invalidConfiguration(['region or AWS_REGION must be set']);
    return 'an unknown region';
  });
  return new KeyfoldError('MetastoreUnavailable', 'The metastore does not answer.', {
    cause: new Error(`DynamoDB table ${tableName} in ${region}: ${fault}`),
  });
}
