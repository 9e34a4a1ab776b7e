import { CREDENTIALS, sdkClient, type Credentials, type SdkClient } from '../connections/sdk-client.ts';
import { NUMBER, optional, STRING, type Types } from '../input/checks.ts';
import { endpointIn } from '../input/endpoint.ts';
import { tableIn } from './table-name.ts';

/** The key table, and the client that reaches it. */
export interface DynamoDbMetastoreOptions {
  /** The name or the ARN of the table. Default: `EncryptionKey`, as in Asherah. */
  readonly tableName?: string;
  /** The table's region. Default: the region that the AWS SDK finds in its environment. */
  readonly region?: string;
  /** Replaces AWS's endpoint, so that an emulator can be used. */
  readonly endpoint?: string;
  /** Default: 1000 milliseconds. */
  readonly connectionTimeoutMs?: number;
  /**
   * The longest wait for the response to one attempt, and the longest pause within a response. Default: 3000
   * milliseconds.
   */
  readonly requestTimeoutMs?: number;
  /** Default: the credentials that the AWS SDK finds in its environment. */
  readonly credentials?: Credentials;
  /**
   * A `DynamoDBClient` of the AWS SDK, in place of a client with Keyfold's settings. The caller closes it. Connections
   * from before a Lambda freeze are not used again. The client's own timeouts and retries apply. Set `requestTimeout`
   * and `throwOnRequestTimeout` in its `requestHandler`, because the SDK waits without a limit by default. Only
   * `tableName` and `events` can be combined with `client`.
   */
  readonly client?: SdkClient;
}

/** The type of each option in {@link DynamoDbMetastoreOptions}, for checks at run time. */
export const DYNAMODB_OPTIONS: Types<DynamoDbMetastoreOptions> = {
  tableName: optional(STRING),
  region: optional(STRING),
  endpoint: optional(STRING),
  connectionTimeoutMs: optional(NUMBER),
  requestTimeoutMs: optional(NUMBER),
  credentials: optional(CREDENTIALS),
  client: optional(sdkClient('DynamoDB', 'a DynamoDBClient')),
};

/**
 * The key table's replica in another region. If the options name the table by an ARN, the result has the replica's ARN.
 * If they name an endpoint of AWS, the result has that region's endpoint of the same kind, or none for a VPC endpoint.
 */
export function replicaIn(region: string, options: DynamoDbMetastoreOptions): DynamoDbMetastoreOptions {
  const { endpoint: own, ...others } = options;
  const { tableName } = options;
  const endpoint = own && endpointIn(region, own);
  return {
    ...others,
    region,
    ...(tableName !== undefined && { tableName: tableIn(region, tableName) }),
    ...(endpoint !== undefined && { endpoint }),
  };
}
