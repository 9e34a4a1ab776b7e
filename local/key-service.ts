import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { startKmsEmulator, type KmsEmulator } from '../emulators/kms/kms-emulator.ts';
import { close, listen } from '../emulators/listen.ts';
import type { JournalCall } from './call-journal.ts';
import { ensureKeys, kmsEnvironment } from './function-environment.ts';
import { OpenBaoServer, transitPolicy } from './openbao.ts';
import { watchOpenBao } from './openbao-watch.ts';

/** The key service of the local world. */
export interface KeyService {
  readonly name: 'KMS' | 'OpenBao';
  readonly url: string;
  /** The text that the terminal shows about the key service. */
  readonly description: string;
  /** The emulator whose regions can fail. Undefined if the key service is OpenBao. */
  readonly emulator: KmsEmulator | undefined;
  /** The environment variables that let a function use the key service. */
  readonly environment: Readonly<Record<string, string>>;
  /**
   * Examples for the user to try, each with a title and shell commands. `coldStart` is the command that starts the
   * functions cold.
   */
  trials(coldStart: string): readonly (readonly [title: string, command: string])[];
  close(): Promise<void>;
}

const TRANSIT_KEY = 'keyfold';

/**
 * Starts the emulator of AWS KMS, with a key in each region.
 * @param regions the regions, beginning with the preferred one
 * @param dataFolder the folder that keeps the keys across restarts. If undefined, they are in memory.
 */
export async function startEmulatedKms(
  regions: readonly [string, ...string[]],
  port: number,
  dataFolder: string | undefined,
  note: (call: JournalCall) => void,
): Promise<KeyService> {
  const [preferred] = regions;
  const emulator = await startKmsEmulator({
    port,
    onCall: ({ region, action, outcome }) => note({ service: 'KMS', region, action, keyId: null, outcome }),
    ...(dataFolder === undefined ? {} : { dataFile: join(dataFolder, 'kms.json') }),
  });
  const { endpoint: url } = emulator;
  const fault = `${url}/regions/${preferred}/fault`;
  return {
    name: 'KMS',
    url,
    description: `emulated, in ${regions.join(' and ')}; ${preferred} is preferred`,
    emulator,
    environment: kmsEnvironment(url, await ensureKeys(emulator, regions)),
    trials: (coldStart) => [
      [
        'Take the preferred region down and start cold; then decrypt again:',
        `curl -s -X PUT ${fault} -d '{"kind":"down"}' && ${coldStart}`,
      ],
      ['Bring the region back:', `curl -s -X DELETE ${fault}`],
    ],
    close: () => emulator.close(),
  };
}

/**
 * Starts OpenBao with a transit key. Also makes a token that lets a function use that key and nothing else. The files
 * `token`, `root-token` and `unseal-key` are in a folder that only this user can read.
 * @param port the port of a server that forwards requests to OpenBao, so that the page can show the calls
 */
export async function startVault(port: number, note: (call: JournalCall) => void): Promise<KeyService> {
  const bao = await OpenBaoServer.start();
  await bao.write('sys/mounts/transit', { type: 'transit' });
  await bao.write(`transit/keys/${TRANSIT_KEY}`, { type: 'aes256-gcm96' });
  await bao.write('sys/policies/acl/keyfold', { policy: transitPolicy(TRANSIT_KEY) });
  const created = await bao.write('auth/token/create', { policies: ['keyfold'], no_default_policy: true });
  const { client_token: token } = created['auth'] as { readonly client_token: string };
  const secrets = { token, 'root-token': bao.rootToken, 'unseal-key': bao.unsealKey };
  for (const [file, secret] of Object.entries(secrets)) await writeFile(join(bao.folder, file), secret);
  const server = watchOpenBao(bao.url, note);
  const url = `http://127.0.0.1:${await listen(server, port)}`;
  const asRoot = `-H "x-vault-token: $(cat '${join(bao.folder, 'root-token')}')"`;
  return {
    name: 'OpenBao',
    url,
    description: `in memory, transit key ${TRANSIT_KEY}; its tokens are in ${bao.folder}`,
    emulator: undefined,
    environment: {
      KEYFOLD_KMS: 'vault',
      KEYFOLD_VAULT_ADDRESSES: url,
      KEYFOLD_VAULT_TRANSIT_KEY: TRANSIT_KEY,
      KEYFOLD_VAULT_AUTH: 'token',
      KEYFOLD_VAULT_SECRET_FILE: join(bao.folder, 'token'),
    },
    trials: (coldStart) => [
      [
        'Rotate the transit key and start cold; then decrypt again:',
        `curl -s -X POST ${asRoot} ${url}/v1/transit/keys/${TRANSIT_KEY}/rotate && ${coldStart}`,
      ],
    ],
    close: async () => {
      await Promise.all([close(server), bao.stop()]);
    },
  };
}
