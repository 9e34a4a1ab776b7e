import { createApiServer } from '../../local/api-server.ts';
import { startDynamoDb } from '../../local/dynamodb.ts';
import { functionEnvironment, OPENING, SEALING } from '../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { close, listen } from '../../emulators/listen.ts';
import { LocalFunction } from '../../local/local-function.ts';

/** The API and its functions, run in this process as `npm start` runs them. */
export interface LocalApi {
  readonly url: string;
  readonly kms: KmsEmulator;
  /** Ends the environment of every function, so that the next request starts cold. */
  readonly recycle: () => Promise<void>;
  readonly stop: () => Promise<void>;
}

/** Serves no page, because only `npm start` does. */
const noPage = (): Promise<boolean> => Promise.resolve(false);

/** @param settings environment variables that replace those of `npm start` */
export async function startLocalApi(settings: Readonly<Record<string, string>> = {}): Promise<LocalApi> {
  const [kms, dynamoDb] = await Promise.all([startKmsEmulator(), startDynamoDb('EncryptionKey', 0)]);
  const { aliasArn } = await kms.ensureKey('us-west-2', 'alias/keyfold');
  const environment = {
    ...functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys: { 'us-west-2': aliasArn } }),
    POWERTOOLS_LOG_LEVEL: 'SILENT',
    POWERTOOLS_METRICS_DISABLED: 'true',
    KEYFOLD_SERVICE: 'local',
    KEYFOLD_PRODUCT: 'keyfold',
    KEYFOLD_AUTH: 'none',
    ...settings,
  };
  const functionOf = (handler: string, name: string, more = {}): LocalFunction =>
    new LocalFunction(new URL(`../../handlers/${handler}.ts`, import.meta.url).href, { ...environment, ...more }, name);
  const api = functionOf('api', 'keyfold-api');
  const maintenance = functionOf('maintenance', 'keyfold-maintenance');
  const invokable = {
    'keyfold-seal': functionOf('invoke', 'keyfold-seal', {
      KEYFOLD_OPERATIONS: SEALING,
    }),
    'keyfold-open': functionOf('invoke', 'keyfold-open', {
      KEYFOLD_OPERATIONS: OPENING,
    }),
    'keyfold-broken': functionOf('invoke', 'keyfold-broken', { KEYFOLD_COLOUR: 'red' }),
  };
  const recycle = async (): Promise<void> => {
    await Promise.all([api, maintenance, ...Object.values(invokable)].map((one) => one.recycle()));
  };
  const server = createApiServer(api, maintenance, noPage, invokable);
  return {
    url: `http://127.0.0.1:${await listen(server, 0)}`,
    kms,
    recycle,
    stop: async () => {
      await close(server);
      await recycle();
      await Promise.all([kms.close(), dynamoDb.close()]);
    },
  };
}
