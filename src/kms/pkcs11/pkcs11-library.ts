import { CKF_OS_LOCKING_OK, type Pkcs11, type Pkcs11Driver } from './pkcs11-driver.ts';
import { codeOf, TokenError } from './pkcs11-faults.ts';

/** A PKCS#11 library, which has one state for the whole process. */
export class Pkcs11Library {
  readonly #path: string;
  readonly #loadDriver: () => Pkcs11Driver;
  #driver: Pkcs11Driver | undefined;
  #loaded: Pkcs11 | undefined;
  #isInitialized = false;
  /** Counts the restarts. A session ends with the restart after its start. */
  generation = 0;
  /** The last PIN that each token has refused, by the token's label. Tokens lock themselves after a few wrong ones. */
  readonly refusedPins = new Map<string, string>();

  /** @param loadDriver loads `pkcs11js`. Throws if it is not installed. */
  constructor(path: string, loadDriver: () => Pkcs11Driver) {
    this.#path = path;
    this.#loadDriver = loadDriver;
  }

  /** The number by which `pkcs11js` knows the parameters of GCM. */
  get gcmParameters(): number | undefined {
    return this.#driver?.CK_PARAMS_AES_GCM;
  }

  /** Loads and initializes the library, unless it has been. */
  open(): Pkcs11 {
    const loaded = (this.#loaded ??= this.#load());
    if (this.#isInitialized) return loaded;
    unlessAlready('CKR_CRYPTOKI_ALREADY_INITIALIZED', () => loaded.C_Initialize({ flags: CKF_OS_LOCKING_OK }));
    this.#isInitialized = true;
    return loaded;
  }

  /** Ends all sessions. Some libraries look for tokens only when they are initialized, which the next call does. */
  restart(): void {
    this.generation += 1;
    if (!this.#isInitialized) return;
    this.#isInitialized = false;
    try {
      this.#loaded?.C_Finalize();
    } catch {
      // The library is in no state to be used, and is initialized anew.
    }
  }

  #load(): Pkcs11 {
    try {
      this.#driver ??= this.#loadDriver();
    } catch {
      throw new TokenError('misconfigured', 'DriverNotInstalled');
    }
    const library = new this.#driver.PKCS11();
    try {
      library.load(this.#path);
    } catch {
      throw new TokenError('misconfigured', 'LibraryNotLoaded');
    }
    return library;
  }
}

/** Makes a call. Ignores the error with this code, which means that the call has been made before. */
export function unlessAlready(code: string, call: () => void): void {
  try {
    call();
  } catch (error) {
    if (codeOf(error) !== code) throw error;
  }
}
