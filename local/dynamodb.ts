import type { RequestListener } from 'node:http';
import {
  CreateTableCommand,
  DynamoDBClient,
  ResourceInUseException,
  type CreateTableCommandInput,
} from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';
import type { JournalCall } from './call-journal.ts';
import { watchDynamoDb } from './dynamodb-watch.ts';
import { onlyFromThisMachine } from '../emulators/http-body.ts';
import { close, listen } from '../emulators/listen.ts';

/** A running DynamoDB emulator. */
export interface LocalDynamoDb {
  readonly endpoint: string;
  readonly close: () => Promise<void>;
}

/**
 * Starts a DynamoDB emulator and creates the key table.
 * @param port the port to listen on. If it is 0 or in use, the emulator listens on a free port.
 * @param dataFolder the folder that keeps the tables across restarts. If undefined, they are in memory.
 * @param onCall called at the end of each call
 */
export async function startDynamoDb(
  tableName: string,
  port: number,
  dataFolder?: string,
  onCall?: (call: JournalCall) => void,
): Promise<LocalDynamoDb> {
  const server = dynalite({ createTableMs: 0, ...(dataFolder === undefined ? {} : { path: dataFolder }) });
  // dynalite would let the web pages of every site read and change the tables.
  const [answer] = server.listeners('request') as RequestListener[];
  server.removeAllListeners('request').on('request', onlyFromThisMachine(answer as RequestListener));
  if (onCall !== undefined) watchDynamoDb(server, onCall);
  const endpoint = `http://127.0.0.1:${await listen(server, port)}`;
  await createKeyTable(endpoint, tableName);
  return { endpoint, close: () => close(server) };
}

/** The schema of Asherah's key table, with on-demand billing. */
export const KEY_TABLE: Omit<CreateTableCommandInput, 'TableName'> = {
  BillingMode: 'PAY_PER_REQUEST',
  AttributeDefinitions: [
    { AttributeName: 'Id', AttributeType: 'S' },
    { AttributeName: 'Created', AttributeType: 'N' },
  ],
  KeySchema: [
    { AttributeName: 'Id', KeyType: 'HASH' },
    { AttributeName: 'Created', KeyType: 'RANGE' },
  ],
};

/** Creates the key table if it does not exist. */
export async function createKeyTable(endpoint: string, tableName: string): Promise<void> {
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const client = new DynamoDBClient({ endpoint, region: 'us-west-2', credentials });
  const command = new CreateTableCommand({ TableName: tableName, ...KEY_TABLE });
  try {
    await client.send(command);
  } catch (error) {
    if (!(error instanceof ResourceInUseException)) throw error;
  } finally {
    client.destroy();
  }
}
