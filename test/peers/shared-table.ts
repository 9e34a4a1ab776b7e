import { DynamoDBClient, GetItemCommand, PutItemCommand, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { createKeyTable } from '../../local/dynamodb.ts';
import {
  DynamoDbMetastore,
  SessionFactory,
  StaticKms,
  type KeyManagementService,
  type KeyMeta,
  type SessionFactoryOptions,
} from '../../src/index.ts';
import { GO_STATIC_KEY, startAsherah, type Asherah, type AsherahCore, type AsherahKms } from './asherah.ts';
import { AWS_ENVIRONMENT } from './processes.ts';

const REGION = AWS_ENVIRONMENT.AWS_REGION;
export const NAMES = { service: 'svc', product: 'prod' };

/** A row of the key table in DynamoDB's attribute format. */
export type Row = Record<string, AttributeValue>;

/** A key table that Asherah and Keyfold share. */
export interface SharedTable {
  readonly tableName: string;
  readonly metastore: DynamoDbMetastore;
  /** Starts a cold process of Asherah, with the static key unless `kms` is given. */
  readonly asherah: (kms?: AsherahKms) => Promise<Asherah>;
  /**
   * Makes a cold Keyfold service, with the static key unless `kms` is given. Its clock may differ from the true time.
   */
  readonly keyfold: (options?: KeyfoldOptions) => SessionFactory;
  /** Changes the row of a key in the table. */
  readonly change: (key: KeyMeta, change: (row: Row) => void) => Promise<void>;
}

interface KeyfoldOptions extends Partial<Pick<SessionFactoryOptions, 'keyRowProofs' | 'now' | 'regionSuffix'>> {
  readonly offsetMs?: number;
  readonly kms?: KeyManagementService;
}

let tables = 0;

/** Creates a table on DynamoDB Local. */
export async function shareTable(
  endpoint: string,
  { core, regionSuffix = false }: { readonly core: AsherahCore; readonly regionSuffix?: boolean },
): Promise<SharedTable> {
  const tableName = `Keys${(tables += 1)}`;
  await createKeyTable(endpoint, tableName);
  const metastore = new DynamoDbMetastore({ tableName, endpoint, region: REGION });
  return {
    tableName,
    metastore,
    asherah: (kms) =>
      startAsherah({
        ...NAMES,
        core,
        tableName,
        dynamoDbEndpoint: endpoint,
        region: REGION,
        regionSuffix,
        ...(kms && { kms }),
      }),
    keyfold: ({ offsetMs = 0, kms = new StaticKms(GO_STATIC_KEY, {}), ...more } = {}) =>
      new SessionFactory({
        ...NAMES,
        ...(regionSuffix && { regionSuffix: REGION }),
        metastore,
        kms,
        now: () => Date.now() + offsetMs,
        ...more,
      }),
    change: async ({ id, created }, change) => {
      const client = new DynamoDBClient({ endpoint, region: REGION });
      const Key = { Id: { S: id }, Created: { N: String(created) } };
      const { Item = {} } = await client.send(new GetItemCommand({ TableName: tableName, Key }));
      change(Item);
      await client.send(new PutItemCommand({ TableName: tableName, Item }));
    },
  };
}
