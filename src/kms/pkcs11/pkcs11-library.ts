import { CKF_OS_LOCKING_OK, type Pkcs11, type Pkcs11Driver } from './pkcs11-driver.ts';
import { codeOf, TokenError } from './pkcs11-faults.ts';

/** A PKCS#11 library, which has one state for the whole process. */
export class Pkcs11Library {
  readonly #path: string;
  readonly #loadDriver: () => Pkcs11Driver;
  #driver: Pkcs11Driver | undefined;
  #loaded: Pkcs11 | undefined;
  #isInitialized = false;
  /** The number of restarts. Each restart ends all sessions that began before it. */
  generation = 0;
  /**
   * The last PIN that each token has refused, keyed by the token's label. Tokens lock themselves after a few wrong
   * PINs.
   */
  readonly refusedPins = new Map<string, string>();

  /** @param loadDriver loads `pkcs11js`. Throws if it is not installed. */
  constructor(path: string, loadDriver: () => Pkcs11Driver) {
    this.#path = path;
    this.#loadDriver = loadDriver;
  }

  /** The number by which `pkcs11js` identifies GCM parameters. */
  get gcmParameters(): number | undefined {
    return this.#driver?.CK_PARAMS_AES_GCM;
  }

  /** Loads and initializes the library, unless it is already initialized. */
  open(): Pkcs11 {
    const loaded = (this.#loaded ??= this.#load());
    if (this.#isInitialized) return loaded;
    unlessAlready('CKR_CRYPTOKI_ALREADY_INITIALIZED', () => loaded.C_Initialize({ flags: CKF_OS_LOCKING_OK }));
    this.#isInitialized = true;
    return loaded;
  }

  /**
   * Ends all sessions. Some libraries look for tokens only when they are initialized, so the next call initializes the
   * library again.
   */
  restart(): void {
    this.generation += 1;
    if (!this.#isInitialized) return;
    this.#isInitialized = false;
    try {
      this.#loaded?.C_Finalize();
    } catch {
      // Ignore the error, because the next call initializes the library again.
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

/**
 * Makes a call to the library. If the call fails with `code`, an earlier call has already done the same, so the error
 * is ignored.
 */
export function unlessAlready(code: string, call: () => void): void {
  try {
    call();
  } catch (error) {
    if (codeOf(error) !== code) throw error;
  }
}
