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
} from './pkcs11-driver.ts';
import { codeOf, isPerhapsCorrupt, TokenError, tokenFaultOf, type TokenFault } from './pkcs11-faults.ts';
import { unlessAlready, type Pkcs11Library } from './pkcs11-library.ts';
import { MECHANISMS, type Pkcs11Mechanism } from './pkcs11-options.ts';
import { NONCE_BYTES, TAG_BYTES, type Pkcs11Wrap } from './pkcs11-wrap.ts';

/** The settings of a token, which the main thread sends to the worker thread. */
export interface TokenSettings {
  readonly tokenLabel: string;
  /** The label of the key that wraps. */
  readonly keyLabel: string;
  /** If undefined, Keyfold uses the first mechanism in the order of preference that the token has. */
  readonly mechanism: Pkcs11Mechanism | undefined;
}

/** A call from the main thread to the worker thread. */
export type TokenCall =
  | { readonly op: 'connect'; readonly pin: string }
  | { readonly op: 'wrap'; readonly key: Uint8Array }
  | ({ readonly op: 'unwrap' } & Pkcs11Wrap);

export type TokenAnswer =
  | { readonly op: 'connected' }
  | { readonly op: 'wrapped'; readonly wrap: Pkcs11Wrap }
  | { readonly op: 'unwrapped'; readonly key: Buffer }
  /** There is no session, so the main thread must log in. `fault` says why the previous session ended. */
  | { readonly op: 'disconnected'; readonly fault: TokenFault | undefined }
  | { readonly op: 'failed'; readonly fault: TokenFault };

/** A session with the token, in which Keyfold is logged in. */
interface Session {
  readonly hsm: Pkcs11;
  readonly handle: Handle;
  /** The keys that were found, keyed by their labels. */
  readonly keys: Map<string, Handle>;
  readonly mechanism: Pkcs11Mechanism;
  /**
   * The library's generation when the session began. If the library now has another generation, the session has ended.
   */
  readonly generation: number;
}

/** The attributes of a System Key while it is an object of the session. */
const SESSION_KEY: readonly Attribute[] = [
  { type: CKA_CLASS, value: CKO_SECRET_KEY },
  { type: CKA_KEY_TYPE, value: CKK_GENERIC_SECRET },
  { type: CKA_TOKEN, value: false },
  { type: CKA_SENSITIVE, value: false },
  { type: CKA_EXTRACTABLE, value: true },
];
/** An output buffer is this many bytes longer than the input, because each mechanism adds bytes. */
const MORE_BYTES = 64;

const PIN_INCORRECT = 'CKR_PIN_INCORRECT';

/**
 * One token, over one session. All methods of a PKCS#11 library block, so this class runs in a separate thread. The
 * thread makes one call at a time, so it never needs a second session.
 */
export class Pkcs11Token {
  readonly #settings: TokenSettings;
  readonly #library: Pkcs11Library;
  #lastSession: Session | undefined;

  constructor(settings: TokenSettings, library: Pkcs11Library) {
    this.#settings = settings;
    this.#library = library;
  }

  /** Makes a call for the main thread. Never throws. */
  answer(call: TokenCall): TokenAnswer {
    try {
      if (call.op === 'connect') {
        if (this.#session === undefined) this.#connect(call.pin);
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
      this.#library.restart();
      return wasConnected ? { op: 'disconnected', fault } : { op: 'failed', fault };
    }
  }

  get #session(): Session | undefined {
    return this.#lastSession?.generation === this.#library.generation ? this.#lastSession : undefined;
  }

  #connect(pin: string): void {
    const { tokenLabel } = this.#settings;
    const { refusedPins } = this.#library;
    if (refusedPins.get(tokenLabel) === pin) throw new TokenError('misconfigured', PIN_INCORRECT);
    const hsm = this.#library.open();
    const slot = this.#slotIn(hsm);
    const handle = hsm.C_OpenSession(slot, CKF_SERIAL_SESSION);
    try {
      unlessAlready('CKR_USER_ALREADY_LOGGED_IN', () => hsm.C_Login(handle, CKU_USER, pin));
      refusedPins.delete(tokenLabel);
      const { generation } = this.#library;
      const session = { hsm, handle, keys: new Map(), mechanism: this.#mechanismOf(hsm, slot), generation };
      keyIn(session, this.#settings.keyLabel);
      this.#lastSession = session;
    } catch (error) {
      if (codeOf(error) === PIN_INCORRECT) refusedPins.set(tokenLabel, pin);
      hsm.C_CloseSession(handle);
      throw error;
    }
  }

  #slotIn(hsm: Pkcs11): Handle {
    let fault: unknown = new TokenError('unavailable', 'TokenNotFound');
    for (const slot of hsm.C_GetSlotList(true)) {
      try {
        if (hsm.C_GetTokenInfo(slot).label.trimEnd() === this.#settings.tokenLabel) return slot;
      } catch (error) {
        // This may be another token, which is broken or has an unknown format. So look at the other slots too.
        fault = error;
      }
    }
    throw fault;
  }

  #mechanismOf(hsm: Pkcs11, slot: Handle): Pkcs11Mechanism {
    const { mechanism } = this.#settings;
    const found = MECHANISMS.find((each) => (mechanism ?? each) === each && hasMechanism(hsm, slot, each));
    if (found === undefined) throw new TokenError('misconfigured', 'MechanismNotFound');
    return found;
  }

  /**
   * Wraps a key, and checks that the wrap opens, because some HSMs replace the GCM nonce with a nonce that they do not
   * return.
   */
  #wrap(session: Session, key: Buffer): Pkcs11Wrap {
    const { keyLabel } = this.#settings;
    try {
      const { mechanism } = session;
      const wrap = { mechanism, keyLabel, bytes: this.#seal(session, mechanism, keyIn(session, keyLabel), key) };
      if (!this.#opensTo(session, wrap, key)) throw new TokenError('misconfigured', 'WrapDoesNotOpen');
      return wrap;
    } finally {
      key.fill(0);
    }
  }

  /** Whether a wrap opens to its key. Tries twice, because the token may fail for a moment with the same codes. */
  #opensTo(session: Session, wrap: Pkcs11Wrap, key: Buffer, tries = 2): boolean {
    try {
      const opened = this.#open(session, wrap);
      const isSame = opened.length === key.length && timingSafeEqual(opened, key);
      opened.fill(0);
      return isSame;
    } catch (error) {
      if (!isPerhapsCorrupt(error)) throw error;
      return tries > 1 && this.#opensTo(session, wrap, key, tries - 1);
    }
  }

  #unwrap(session: Session, wrap: Pkcs11Wrap): Buffer {
    try {
      return this.#open(session, wrap);
    } catch (error) {
      if (!isPerhapsCorrupt(error) || !this.#works(session)) throw error;
    }
    // The fault may have been the token's, and have passed since. So try these bytes once more.
    try {
      return this.#open(session, wrap);
    } catch (error) {
      throw isPerhapsCorrupt(error) ? new TokenError('corrupt', codeOf(error) ?? 'UnknownError') : error;
    }
  }

  /**
   * Whether the token opens a key that it has just wrapped. If it does, the token works. So if the token cannot open
   * other bytes, those bytes are at fault.
   */
  #works(session: Session): boolean {
    try {
      this.#wrap(session, randomKeyBytes());
      return true;
    } catch {
      return false;
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
    const type = this.#library.gcmParameters;
    const parameter = { type, iv: nonce, ivBits: NONCE_BYTES * 8, tagBits: TAG_BYTES * 8 };
    return { mechanism: CKM.CKM_AES_GCM, parameter };
  }
}

/**
 * Finds the key with a label. @throws TokenError if there is no such key, if there are several, or if the key can leave
 * the token
 */
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
  // The value is the key's length, a number in the machine's byte order. So look for the byte 32 at any position. No
  // other AES key length contains that byte.
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
