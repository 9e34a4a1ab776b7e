import { parseArgs } from 'node:util';

/** The options of `npm start`. A port that is 0 or in use is replaced by a free one. */
export interface StartOptions {
  readonly port: number;
  /**
   * The key service: the emulator of AWS KMS, or an OpenBao server. The value for OpenBao is `vault`, because Keyfold
   * calls OpenBao and Vault in the same way.
   */
  readonly kms: 'aws' | 'vault';
  /** The port of the key service. */
  readonly kmsPort: number;
  readonly dynamoDbPort: number;
  readonly sqsPort: number;
  /** The folder that keeps keys and tables. If undefined, they are in memory. */
  readonly data: string | undefined;
  /** Prints the functions' logs and metrics as JSON. */
  readonly verbose: boolean;
  readonly help: boolean;
}

export const HELP = `npm start -- [--port 8080] [--kms-port 8081] [--dynamodb-port 8082] [--sqs-port 8083] [--kms aws|vault] [--data DIR] [--verbose]
A port that is in use is replaced by a free one. --data keeps tables and keys in DIR across restarts; only one process can use DIR at a time.
--kms vault runs OpenBao instead of the KMS emulator. It needs OpenBao's program bao on the PATH, and allows no --data.
The terminal shows one line per request. --verbose also shows the functions' logs and metrics as JSON.`;

/** Reads the command line. @throws Error with the name of the invalid option */
export function readStartOptions(args: string[]): StartOptions {
  const { values } = parseArgs({
    args,
    options: {
      port: { type: 'string', default: '8080' },
      kms: { type: 'string', default: 'aws' },
      'kms-port': { type: 'string', default: '8081' },
      'dynamodb-port': { type: 'string', default: '8082' },
      'sqs-port': { type: 'string', default: '8083' },
      data: { type: 'string' },
      verbose: { type: 'boolean', default: false },
      help: { type: 'boolean', default: false },
    },
  });
  const portOf = (name: 'port' | 'kms-port' | 'dynamodb-port' | 'sqs-port'): number => {
    const port = Number(values[name]);
    if (/^\d{1,5}$/.test(values[name]) && port <= 65_535) return port;
    throw new Error(`--${name} must be a port from 0 to 65535`);
  };
  const { kms } = values;
  if (kms !== 'aws' && kms !== 'vault') throw new Error('--kms must be aws or vault');
  if (kms === 'vault' && values.data !== undefined)
    throw new Error(
      '--kms vault allows no --data: OpenBao keeps its keys in memory, so nothing could open kept tables',
    );
  if (values.data === '') throw new Error('--data must name a folder');
  return {
    port: portOf('port'),
    kms,
    kmsPort: portOf('kms-port'),
    dynamoDbPort: portOf('dynamodb-port'),
    sqsPort: portOf('sqs-port'),
    data: values.data,
    verbose: values.verbose,
    help: values.help,
  };
}
