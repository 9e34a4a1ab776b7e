import { timingSafeEqual } from 'node:crypto';
import { fillRandom, KEY_BYTES, randomKeyBytes } from '../../crypto/random.ts';
import {
  CKA_CLASS,
  CKA_EXTRACTABLE,
  CKA_KEY_TYPE,
  CKA_LABEL,
  CKA_SENSITIVE,
  CKA_TOKEN,
  CKA_VALUE,
  CKA_VALUE_LEN,
  CKF_ENCRYPT_AND_DECRYPT,
  CKF_OS_LOCKING_OK,
  CKF_SERIAL_SESSION,
  CKF_WRAP_AND_UNWRAP,
  CKK_AES,
  CKK_GENERIC_SECRET,
  CKM,
  CKO_SECRET_KEY,
  CKU_USER,
  type Attribute,
  type Handle,
  type Mechanism,
  type Pkcs11,
  type Pkcs11Driver,
} from './pkcs11-driver.ts';
import { codeOf, isPerhapsCorrupt, TokenError, tokenFaultOf, type TokenFault } from './pkcs11-faults.ts';
import { MECHANISMS, type Pkcs11Mechanism } from './pkcs11-options.ts';
import { NONCE_BYTES, TAG_BYTES, type Pkcs11Wrap } from './pkcs11-wrap.ts';

/** What the worker thread must know. */
export interface TokenSettings {
  readonly library: string;
  readonly tokenLabel: string;
  /** The label of the key that wraps. */
  readonly keyLabel: string;
  /** If undefined, the token decides. */
  readonly mechanism: Pkcs11Mechanism | undefined;
}

/** What the main thread asks for. */
export type TokenCall =
  | { readonly op: 'connect'; readonly pin: string }
  | { readonly op: 'wrap'; readonly key: Uint8Array }
  | ({ readonly op: 'unwrap' } & Pkcs11Wrap);

export type TokenAnswer =
  | { readonly op: 'connected' }
  | { readonly op: 'wrapped'; readonly wrap: Pkcs11Wrap }
  | { readonly op: 'unwrapped'; readonly key: Buffer }
  /** There is no session. The main thread must connect. `fault` is what ended the session. */
  | { readonly op: 'disconnected'; readonly fault: TokenFault | undefined }
  | { readonly op: 'failed'; readonly fault: TokenFault };

/** A log-in at the token. */
interface Session {
  readonly hsm: Pkcs11;
  readonly handle: Handle;
  /** The keys that were found, by their labels. */
  readonly keys: Map<string, Handle>;
  readonly mechanism: Pkcs11Mechanism;
}

/** The attributes of a System Key while it is an object of the session. */
const SESSION_KEY: readonly Attribute[] = [
  { type: CKA_CLASS, value: CKO_SECRET_KEY },
  { type: CKA_KEY_TYPE, value: CKK_GENERIC_SECRET },
  { type: CKA_TOKEN, value: false },
  { type: CKA_SENSITIVE, value: false },
  { type: CKA_EXTRACTABLE, value: true },
];
/** Room for what a mechanism adds. */
const MORE_BYTES = 64;

/**
 * One token, over one session. All methods of a PKCS#11 library block, so it runs in a thread of its own, which makes
 * one call at a time. A second session would never be in use.
 */
export class Pkcs11Token {
  readonly #settings: TokenSettings;
  readonly #loadDriver: () => Pkcs11Driver;
  #driver: Pkcs11Driver | undefined;
  #hsm: Pkcs11 | undefined;
  /** Whether this object has initialized the library, and not another part of the process. */
  #hasInitialized = false;
  #session: Session | undefined;

  /** @param loadDriver loads `pkcs11js`. Throws if it is not installed. */
  constructor(settings: TokenSettings, loadDriver: () => Pkcs11Driver) {
    this.#settings = settings;
    this.#loadDriver = loadDriver;
  }

  /** Does what the main thread asks for. Never throws. */
  answer(call: TokenCall): TokenAnswer {
    try {
      if (call.op === 'connect') {
        this.#session ??= this.#connect(call.pin);
        return { op: 'connected' };
      }
      const session = this.#session;
      if (session === undefined) return { op: 'disconnected', fault: undefined };
      if (call.op === 'wrap') return { op: 'wrapped', wrap: this.#wrap(session, Buffer.from(call.key)) };
      return { op: 'unwrapped', key: this.#unwrap(session, call) };
    } catch (error) {
      const fault = tokenFaultOf(error);
      if (fault.faultClass === 'corrupt' || fault.faultClass === 'misconfigured') return { op: 'failed', fault };
      const wasConnected = this.#session !== undefined;
      this.#disconnect();
      return wasConnected ? { op: 'disconnected', fault } : { op: 'failed', fault };
    }
  }

  #connect(pin: string): Session {
    const hsm = this.#load();
    try {
      this.#initialize(hsm);
      const slot = this.#slotIn(hsm);
      const handle = hsm.C_OpenSession(slot, CKF_SERIAL_SESSION);
      unlessAlready('CKR_USER_ALREADY_LOGGED_IN', () => hsm.C_Login(handle, CKU_USER, pin));
      const session = { hsm, handle, keys: new Map<string, Handle>(), mechanism: this.#mechanismOf(hsm, slot) };
      keyIn(session, this.#settings.keyLabel);
      return session;
    } catch (error) {
      this.#disconnect();
      throw error;
    }
  }

  #load(): Pkcs11 {
    if (this.#hsm !== undefined) return this.#hsm;
    try {
      this.#driver ??= this.#loadDriver();
    } catch {
      throw new TokenError('misconfigured', 'DriverNotInstalled');
    }
    const hsm = new this.#driver.PKCS11();
    try {
      hsm.load(this.#settings.library);
    } catch {
      throw new TokenError('misconfigured', 'LibraryNotLoaded');
    }
    return (this.#hsm = hsm);
  }

  #initialize(hsm: Pkcs11): void {
    if (this.#hasInitialized) return;
    this.#hasInitialized = unlessAlready('CKR_CRYPTOKI_ALREADY_INITIALIZED', () =>
      hsm.C_Initialize({ flags: CKF_OS_LOCKING_OK }),
    );
  }

  /** Ends the session. Some libraries look for tokens only when they are initialized, so the library starts anew. */
  #disconnect(): void {
    this.#session = undefined;
    if (!this.#hasInitialized) return;
    this.#hasInitialized = false;
    try {
      this.#hsm?.C_Finalize();
    } catch {
      // Another part of the process has done it.
    }
  }

  #slotIn(hsm: Pkcs11): Handle {
    for (const slot of hsm.C_GetSlotList(true)) {
      if (hsm.C_GetTokenInfo(slot).label.trimEnd() === this.#settings.tokenLabel) return slot;
    }
    throw new TokenError('unavailable', 'TokenNotFound');
  }

  #mechanismOf(hsm: Pkcs11, slot: Handle): Pkcs11Mechanism {
    const { mechanism } = this.#settings;
    const found = MECHANISMS.find((each) => (mechanism ?? each) === each && hasMechanism(hsm, slot, each));
    if (found === undefined) throw new TokenError('misconfigured', 'MechanismNotFound');
    return found;
  }

  /** Wraps a key, and checks that it opens again. Some HSMs replace the nonce of GCM by one that is not returned. */
  #wrap(session: Session, key: Buffer): Pkcs11Wrap {
    const { keyLabel } = this.#settings;
    try {
      const { mechanism } = session;
      const wrap = { mechanism, keyLabel, bytes: this.#seal(session, mechanism, keyIn(session, keyLabel), key) };
      const opened = this.#open(session, wrap);
      const isSame = opened.length === key.length && timingSafeEqual(opened, key);
      opened.fill(0);
      if (!isSame) throw new TokenError('misconfigured', 'WrapDoesNotOpen');
      return wrap;
    } finally {
      key.fill(0);
    }
  }

  #unwrap(session: Session, wrap: Pkcs11Wrap): Buffer {
    try {
      return this.#open(session, wrap);
    } catch (error) {
      // If the token opens what it has just wrapped, the bytes are the cause.
      if (isPerhapsCorrupt(error)) {
        this.#wrap(session, randomKeyBytes());
        throw new TokenError('corrupt', codeOf(error) ?? 'UnknownError');
      }
      throw error;
    }
  }

  #seal({ hsm, handle }: Session, mechanism: Pkcs11Mechanism, key: Handle, plaintext: Buffer): Buffer {
    const out = Buffer.alloc(plaintext.length + MORE_BYTES);
    if (mechanism === 'CKM_AES_GCM') {
      const nonce = Buffer.alloc(NONCE_BYTES);
      fillRandom(nonce, 0, NONCE_BYTES);
      hsm.C_EncryptInit(handle, this.#gcm(nonce), key);
      return Buffer.concat([nonce, hsm.C_Encrypt(handle, plaintext, out)]);
    }
    const object = hsm.C_CreateObject(handle, [...SESSION_KEY, { type: CKA_VALUE, value: plaintext }]);
    try {
      return Buffer.from(hsm.C_WrapKey(handle, { mechanism: CKM[mechanism] }, key, object, out));
    } finally {
      hsm.C_DestroyObject(handle, object);
    }
  }

  #open(session: Session, { mechanism, keyLabel, bytes }: Pkcs11Wrap): Buffer {
    const { hsm, handle } = session;
    const key = keyIn(session, keyLabel);
    if (mechanism === 'CKM_AES_GCM') {
      hsm.C_DecryptInit(handle, this.#gcm(bytes.subarray(0, NONCE_BYTES)), key);
      return hsm.C_Decrypt(handle, bytes.subarray(NONCE_BYTES), Buffer.alloc(bytes.length));
    }
    const object = hsm.C_UnwrapKey(handle, { mechanism: CKM[mechanism] }, key, bytes, SESSION_KEY);
    try {
      const [attribute] = hsm.C_GetAttributeValue(handle, object, [{ type: CKA_VALUE }]);
      return attribute?.value ?? Buffer.alloc(0);
    } finally {
      hsm.C_DestroyObject(handle, object);
    }
  }

  #gcm(nonce: Buffer): Mechanism {
    const type = this.#driver?.CK_PARAMS_AES_GCM;
    const parameter = { type, iv: nonce, ivBits: NONCE_BYTES * 8, tagBits: TAG_BYTES * 8 };
    return { mechanism: CKM.CKM_AES_GCM, parameter };
  }
}

/** Finds the key with a label. @throws TokenError if there is none, more than one, or one that can leave the token */
function keyIn({ hsm, handle, keys }: Session, label: string): Handle {
  const known = keys.get(label);
  if (known !== undefined) return known;
  hsm.C_FindObjectsInit(handle, [
    { type: CKA_CLASS, value: CKO_SECRET_KEY },
    { type: CKA_KEY_TYPE, value: CKK_AES },
    { type: CKA_LABEL, value: label },
  ]);
  const found = hsm.C_FindObjects(handle, 2);
  hsm.C_FindObjectsFinal(handle);
  const [key] = found;
  if (key === undefined) throw new TokenError('misconfigured', 'KeyNotFound');
  if (found.length > 1) throw new TokenError('misconfigured', 'LabelOfTwoKeys');
  const [extractable, length] = hsm.C_GetAttributeValue(handle, key, [
    { type: CKA_EXTRACTABLE },
    { type: CKA_VALUE_LEN },
  ]);
  if (extractable?.value[0] !== 0) throw new TokenError('misconfigured', 'KeyExtractable');
  // The value is a number in the form of the machine. Of the lengths of AES keys, only 32 has this byte.
  if (length === undefined || !length.value.includes(KEY_BYTES)) throw new TokenError('misconfigured', 'KeyTooShort');
  keys.set(label, key);
  return key;
}

function hasMechanism(hsm: Pkcs11, slot: Handle, mechanism: Pkcs11Mechanism): boolean {
  const needed = mechanism === 'CKM_AES_GCM' ? CKF_ENCRYPT_AND_DECRYPT : CKF_WRAP_AND_UNWRAP;
  try {
    return (hsm.C_GetMechanismInfo(slot, CKM[mechanism]).flags & needed) === needed;
  } catch (error) {
    if (codeOf(error) === 'CKR_MECHANISM_INVALID') return false;
    throw error;
  }
}

/** Makes a call. Returns false if it fails with this code, which means that it was made before. */
function unlessAlready(code: string, call: () => void): boolean {
  try {
    call();
    return true;
  } catch (error) {
    if (codeOf(error) === code) return false;
    throw error;
  }
}
