import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { copyFile, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Attribute, Handle, Mechanism, Pkcs11, Pkcs11Driver } from '../../src/kms/pkcs11/pkcs11-driver.ts';
import { headersOfThisNode } from './lambda-runtime.ts';
import { installOnce, PEERS_FOLDER } from './peers-folder.ts';

const run = promisify(execFile);
const SOFTHSM = join(PEERS_FOLDER, 'softhsm');
const LIMITED = join(PEERS_FOLDER, 'limited-hsm', 'limited-hsm.so');
const VERSIONS = join(import.meta.dirname, 'pkcs11js.json');

/** The folder in which Node finds `pkcs11js`. */
export const DRIVER_PATH = join(PEERS_FOLDER, 'pkcs11js', 'node_modules');

/** The PIN of every token. */
export const PIN = '271828';

/** Installs `pkcs11js`, which npm compiles with make and a C++ compiler, and the library that tests use as an HSM. */
export async function installHsm(): Promise<void> {
  await installOnce('pkcs11js', VERSIONS, async (folder) => {
    const { pkcs11js } = JSON.parse(await readFile(VERSIONS, 'utf8')) as { readonly pkcs11js: string };
    // Allow the install script of this package, which compiles it. npm runs no other install scripts.
    await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, allowScripts: { pkcs11js: true } }));
    const env = { ...process.env, npm_config_nodedir: headersOfThisNode() };
    const options = ['--no-audit', '--no-fund', '--ignore-scripts=false', '--save-exact'];
    await run('npm', ['install', ...options, `pkcs11js@${pkcs11js}`], { cwd: folder, env });
  });
  const source = join(import.meta.dirname, 'limited-hsm.c');
  await installOnce('limited-hsm', source, async () => {
    const headers = join(DRIVER_PATH, 'pkcs11js', 'includes', 'pkcs11');
    await run('cc', ['-shared', '-fPIC', `-I${headers}`, `-DSOFTHSM="${softHsm()}"`, '-o', LIMITED, source, '-ldl']);
  });
}

/** The path of SoftHSM's library. */
function softHsm(): string {
  const folders = ['x86_64-linux-gnu', 'aarch64-linux-gnu'].map((name) => join(SOFTHSM, 'usr', 'lib', name));
  return join(folders.find(existsSync) ?? '', 'softhsm', 'libsofthsm2.so');
}

/** A SoftHSM with its own data. */
export class SoftHsm {
  /** The path of its PKCS#11 library. */
  readonly library: string;
  readonly #folder: string;

  private constructor(folder: string) {
    this.#folder = folder;
    this.library = join(folder, 'limited-hsm.so');
  }

  /** Makes tokens with these labels. Each has a key `keyfold`, a key `older`, and an extractable key. */
  static async make(...tokens: readonly string[]): Promise<SoftHsm> {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-softhsm-'));
    const hsm = new SoftHsm(folder);
    await mkdir(join(folder, 'tokens'));
    const conf = join(folder, 'softhsm2.conf');
    await writeFile(conf, `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\n`);
    await copyFile(LIMITED, hsm.library);
    for (const label of tokens) {
      const init = ['--init-token', '--free', '--label', label, '--pin', PIN, '--so-pin', PIN, '--module', softHsm()];
      await run(join(SOFTHSM, 'usr', 'bin', 'softhsm2-util'), init, { env: { SOFTHSM2_CONF: conf } });
    }
    hsm.#makeKeys();
    return hsm;
  }

  /** The maximum number of open sessions. */
  async limitSessions(limit: number): Promise<void> {
    await writeFile(join(this.#folder, 'limit'), String(limit));
  }

  async removeTokens(): Promise<void> {
    await rename(join(this.#folder, 'tokens'), join(this.#folder, 'removed'));
    await mkdir(join(this.#folder, 'tokens'));
  }

  async putTokensBack(): Promise<void> {
    await rm(join(this.#folder, 'tokens'), { recursive: true });
    await rename(join(this.#folder, 'removed'), join(this.#folder, 'tokens'));
  }

  remove(): Promise<void> {
    return rm(this.#folder, { recursive: true });
  }

  #makeKeys(): void {
    const driver = createRequire(import.meta.url)(join(DRIVER_PATH, 'pkcs11js')) as MakingDriver;
    const hsm = new driver.PKCS11();
    hsm.load(this.library);
    hsm.C_Initialize({ flags: driver.CKF_OS_LOCKING_OK });
    for (const slot of hsm.C_GetSlotList(true)) {
      if (hsm.C_GetTokenInfo(slot).label.trim() === '') continue;
      const session = hsm.C_OpenSession(slot, driver.CKF_SERIAL_SESSION | driver.CKF_RW_SESSION);
      hsm.C_Login(session, driver.CKU_USER, PIN);
      for (const label of ['keyfold', 'older', 'extractable']) {
        hsm.C_GenerateKey(session, { mechanism: driver.CKM_AES_KEY_GEN }, [
          { type: driver.CKA_CLASS, value: driver.CKO_SECRET_KEY },
          { type: driver.CKA_LABEL, value: label },
          { type: driver.CKA_VALUE_LEN, value: 32 },
          { type: driver.CKA_EXTRACTABLE, value: label === 'extractable' },
          { type: driver.CKA_SENSITIVE, value: true },
          ...[driver.CKA_TOKEN, driver.CKA_PRIVATE].map((type) => ({ type, value: true })),
          ...[driver.CKA_ENCRYPT, driver.CKA_DECRYPT, driver.CKA_WRAP, driver.CKA_UNWRAP].map((type) => ({
            type,
            value: true,
          })),
        ]);
      }
    }
    hsm.C_Finalize();
  }
}

/** The driver, with its function for making keys. Keyfold itself does not use that function. */
interface MakingDriver extends Omit<Pkcs11Driver, 'PKCS11'> {
  readonly PKCS11: new () => Pkcs11 & {
    C_GenerateKey(session: Handle, mechanism: Mechanism, template: readonly Attribute[]): Handle;
  };
  readonly CKF_OS_LOCKING_OK: number;
  readonly CKF_SERIAL_SESSION: number;
  readonly CKF_RW_SESSION: number;
  readonly CKU_USER: number;
  readonly CKO_SECRET_KEY: number;
  readonly CKM_AES_KEY_GEN: number;
  readonly CKA_CLASS: number;
  readonly CKA_LABEL: number;
  readonly CKA_VALUE_LEN: number;
  readonly CKA_TOKEN: number;
  readonly CKA_PRIVATE: number;
  readonly CKA_SENSITIVE: number;
  readonly CKA_EXTRACTABLE: number;
  readonly CKA_ENCRYPT: number;
  readonly CKA_DECRYPT: number;
  readonly CKA_WRAP: number;
  readonly CKA_UNWRAP: number;
}
