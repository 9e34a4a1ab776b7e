import { spawn } from 'node:child_process';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';
import { pythonOf } from './install.ts';
import { PEERS_FOLDER } from './peers-folder.ts';
import { AWS_ENVIRONMENT, end } from './processes.ts';

/**
 * All implementations of Asherah: Rust, Java, and Go with each version of the AWS SDK. `go` is the package on PyPI,
 * which uses version 1 of the SDK.
 */
export const ASHERAHS = ['go', 'go-v2', 'rust', 'java'] as const;

/** One of {@link ASHERAHS}. */
export type AsherahCore = (typeof ASHERAHS)[number];

/** The options of an Asherah process. The Go core contains a static master key, {@link GO_STATIC_KEY}. */
export type AsherahOptions = AsherahNames & (AsherahOnDynamoDb | AsherahOnSql);

interface AsherahNames {
  readonly core: AsherahCore;
  readonly service: string;
  readonly product: string;
  /** If given, Asherah uses AWS KMS instead of the static key. */
  readonly kms?: AsherahKms;
}

interface AsherahOnDynamoDb {
  readonly tableName: string;
  readonly dynamoDbEndpoint: string;
  /** The region of the table. With `regionSuffix`, the region is also the suffix of key IDs. */
  readonly region: string;
  readonly regionSuffix: boolean;
}

interface AsherahOnSql {
  /**
   * A connection string, whose form depends on the core's database driver. Of the cores here, only `go` and `rust`
   * accept one.
   */
  readonly connectionString: string;
}

/** The KMS keys of an Asherah process. */
export interface AsherahKms {
  /** The environment variables with which the process finds the emulator. */
  readonly environment: Readonly<Record<string, string>>;
  readonly regionMap: Readonly<Record<string, string>>;
  readonly preferredRegion: string;
  /** Whether Rust gets only the key of the preferred region, as its `KmsKeyId`. */
  readonly single?: boolean;
}

/** A running Asherah process. Its methods throw Asherah's errors. */
export interface Asherah extends AsyncDisposable {
  encrypt(partition: string, payload: Uint8Array): Promise<string>;
  decrypt(partition: string, record: string): Promise<Buffer>;
}

/** The static master key that is built into Asherah's Go core. */
export const GO_STATIC_KEY = Buffer.from('thisIsAStaticMasterKeyForTesting');

/** Starts Asherah with an empty cache, in a child process. */
export async function startAsherah({ core, kms, ...config }: AsherahOptions): Promise<Asherah> {
  const env = { PATH: process.env['PATH'], ...AWS_ENVIRONMENT, ...kms?.environment };
  const child = spawn(...commandOf(core), { env, stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const endOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', endOnExit);

  const ask = async (message: object): Promise<string> => {
    child.stdin.write(`${JSON.stringify(message)}\n`);
    const { value, done } = await lines.next();
    if (done === true) throw new Error(`Asherah ${core} has ended`);
    const answer = JSON.parse(value) as { ok?: string; error?: string };
    if (answer.ok === undefined) throw new Error(`Asherah ${core}: ${answer.error}`);
    return answer.ok;
  };
  await ask({
    ...config,
    staticMasterKeyHex: GO_STATIC_KEY.toString('hex'),
    ...(kms && { regionMap: kms.regionMap, preferredRegion: kms.preferredRegion, single: kms.single === true }),
  });
  return {
    encrypt: (partition, payload) =>
      ask({ op: 'encrypt', partition, payload: Buffer.from(payload).toString('base64') }),
    decrypt: async (partition, record) => Buffer.from(await ask({ op: 'decrypt', partition, record }), 'base64'),
    [Symbol.asyncDispose]: async () => {
      process.off('exit', endOnExit);
      await end(child);
    },
  };
}

function commandOf(core: AsherahCore): [command: string, args: string[]] {
  if (core === 'java') {
    const classes = ['asherah-java-peer', join('asherah-java', '*')].map((name) => join(PEERS_FOLDER, name));
    // With these JVM options, a short-lived process starts in a third of the time.
    return ['java', ['-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC', '-cp', classes.join(delimiter), 'AsherahPeer']];
  }
  if (core === 'go-v2') return [join(PEERS_FOLDER, 'asherah-go-v2', 'peer'), []];
  return [pythonOf(`asherah-${core}`), [join(import.meta.dirname, 'asherah_peer.py'), core]];
}
