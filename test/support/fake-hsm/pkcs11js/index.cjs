/**
 * A fake `pkcs11js`, for faults that no real token causes on demand. A "library" is a JSON file with the state of one
 * token, which a test writes and this module reads at each call. The names of the calls are written to a file beside
 * it.
 */
const { createCipheriv, createDecipheriv, createHash } = require('node:crypto');
const { appendFileSync, existsSync, readFileSync } = require('node:fs');

const [CKM_AES_GCM, CKM_AES_KEY_WRAP_PAD, CK_PARAMS_AES_GCM] = [0x1087, 0x210a, 3];
const [CKF_OS_LOCKING_OK, CKF_SERIAL_SESSION, CKU_USER] = [2, 4, 1];
const [CKA_LABEL, CKA_VALUE, CKA_EXTRACTABLE, CKA_VALUE_LEN] = [3, 0x11, 0x162, 0x161];
const [CKA_CLASS, CKA_TOKEN, CKA_KEY_TYPE, CKA_SENSITIVE] = [0, 1, 0x100, 0x103];
const [CKO_SECRET_KEY, CKK_GENERIC_SECRET, CKK_AES] = [4, 0x10, 0x1f];

class PKCS11 {
  #objects = new Map();
  #operation;
  #epoch;
  /** The objects that a search has found. Undefined if no search is in progress. */
  #found;
  /** The buffers that have held a System Key. */
  #secrets = [];
  /** How often each call with a list of faults has been made. */
  #made = new Map();

  load(path) {
    this.path = path;
    this.#call('load');
    // Each test has a token of its own. End the thread of a test after the test has removed the token.
    setInterval(() => existsSync(path) || process.exit(), 20).unref();
  }

  C_Initialize({ flags }) {
    this.#epoch = JSON.parse(readFileSync(this.path, 'utf8')).epoch;
    this.#call('C_Initialize');
    if (flags !== CKF_OS_LOCKING_OK) throw new Error('CKR_ARGUMENTS_BAD');
  }

  /**
   * Records a call `left a key` if a buffer still holds a System Key. No call is in progress now, so the caller should
   * have zeroed all of these buffers.
   */
  C_Finalize() {
    this.#call('C_Finalize');
    if (this.#secrets.some((secret) => secret.some((byte) => byte !== 0))) this.#record('left a key');
  }

  C_GetSlotList(tokenPresent) {
    const slots = this.#call('C_GetSlotList').tokens.map((label) => Buffer.from(label));
    return tokenPresent ? slots : [Buffer.of(), ...slots];
  }

  C_GetTokenInfo(slot) {
    if (slot.length === 0) throw new Error('CKR_TOKEN_NOT_PRESENT');
    const code = this.#call('C_GetTokenInfo').broken?.[slot.toString()];
    if (code !== undefined) throw new Error(code);
    return { label: slot.toString().padEnd(32) };
  }

  C_GetMechanismInfo(_slot, mechanism) {
    const { mechanisms, flags = {} } = this.#call('C_GetMechanismInfo');
    if (!mechanisms.includes(mechanism)) throw new Error('CKR_MECHANISM_INVALID');
    return { flags: flags[mechanism] ?? (mechanism === CKM_AES_GCM ? 0x300 : 0x60000) };
  }

  C_OpenSession(_slot, flags) {
    this.#call('C_OpenSession');
    if (flags !== CKF_SERIAL_SESSION) throw new Error('CKR_SESSION_PARALLEL_NOT_SUPPORTED');
    return Buffer.from('session');
  }

  C_CloseSession() {
    this.#call('C_CloseSession');
  }

  C_Login(_session, user, pin) {
    const { pin: right } = this.#call('C_Login');
    if (user !== CKU_USER) throw new Error('CKR_USER_TYPE_INVALID');
    if (pin !== right) throw new Error('CKR_PIN_INCORRECT');
  }

  C_FindObjectsInit(_session, template) {
    const wanted = valuesOf(template);
    const areAesKeys = wanted.get(CKA_CLASS) === CKO_SECRET_KEY && wanted.get(CKA_KEY_TYPE) === CKK_AES;
    const { keys } = this.#call('C_FindObjectsInit');
    if (this.#found !== undefined) throw new Error('CKR_OPERATION_ACTIVE');
    this.#found = keys.filter(({ label }) => areAesKeys && label === wanted.get(CKA_LABEL));
  }

  C_FindObjects(_session, max) {
    return this.#found.slice(0, max).map((key) => this.#add(key));
  }

  C_FindObjectsFinal() {
    this.#found = undefined;
  }

  C_GetAttributeValue(_session, object, template) {
    const { value, extractable = false, isSensitive, bits = 256 } = this.#objects.get(object.toString());
    const asksForKey = template.some(({ type }) => type === CKA_VALUE);
    if (asksForKey && (isSensitive || !extractable)) throw new Error('CKR_ATTRIBUTE_SENSITIVE');
    const length = Buffer.alloc(8);
    length.writeUInt32LE(bits / 8);
    const values = {
      [CKA_VALUE]: value,
      [CKA_EXTRACTABLE]: Buffer.from([Number(extractable)]),
      [CKA_VALUE_LEN]: length,
    };
    if (asksForKey) values[CKA_VALUE] = this.#secret(Buffer.from(value));
    return template.map(({ type }) => ({ type, value: values[type] }));
  }

  C_CreateObject(_session, template) {
    this.#call('C_CreateObject');
    return this.#addToSession(template, Buffer.from(this.#secret(valuesOf(template).get(CKA_VALUE))));
  }

  C_DestroyObject(_session, object) {
    this.#objects.delete(object.toString());
    this.#call('C_DestroyObject');
  }

  C_EncryptInit(_session, mechanism, key) {
    this.#operation = this.#gcm(this.#call('C_EncryptInit'), mechanism, key);
  }

  C_Encrypt(_session, data, out) {
    this.#call('C_Encrypt');
    const { key, iv, ignoresNonce } = this.#operation;
    const cipher = createCipheriv('aes-256-gcm', key, ignoresNonce ? Buffer.alloc(12, 1) : iv);
    return written(out, Buffer.concat([cipher.update(this.#secret(data)), cipher.final(), cipher.getAuthTag()]));
  }

  C_DecryptInit(_session, mechanism, key) {
    this.#operation = this.#gcm(this.#call('C_DecryptInit'), mechanism, key);
  }

  C_Decrypt(_session, data, out) {
    const { corrupt = 'CKR_GENERAL_ERROR', opened: otherBytes } = this.#call('C_Decrypt');
    const decipher = createDecipheriv('aes-256-gcm', this.#operation.key, this.#operation.iv);
    decipher.setAuthTag(data.subarray(-16));
    const opened = decipher.update(data.subarray(0, -16));
    try {
      decipher.final();
    } catch {
      throw new Error(corrupt);
    }
    return this.#secret(written(out, otherBytes === undefined ? opened : Buffer.from(otherBytes)));
  }

  C_WrapKey(_session, { mechanism }, wrapping, key, out) {
    this.#call('C_WrapKey');
    if (mechanism !== CKM_AES_KEY_WRAP_PAD) throw new Error('CKR_MECHANISM_INVALID');
    const { value, extractable } = this.#objects.get(key.toString());
    if (!extractable) throw new Error('CKR_KEY_UNEXTRACTABLE');
    const cipher = createCipheriv('id-aes256-wrap-pad', this.#keyOf(wrapping), Buffer.from('a65959a6', 'hex'));
    return written(out, Buffer.concat([cipher.update(value), cipher.final()]));
  }

  C_UnwrapKey(_session, { mechanism }, unwrapping, wrapped, template) {
    const { corrupt = 'CKR_GENERAL_ERROR' } = this.#call('C_UnwrapKey');
    if (mechanism !== CKM_AES_KEY_WRAP_PAD) throw new Error('CKR_MECHANISM_INVALID');
    const decipher = createDecipheriv('id-aes256-wrap-pad', this.#keyOf(unwrapping), Buffer.from('a65959a6', 'hex'));
    let value;
    try {
      value = Buffer.concat([decipher.update(wrapped), decipher.final()]);
    } catch {
      throw new Error(corrupt);
    }
    return this.#addToSession(template, value);
  }

  #gcm({ ignoresNonce = false }, { mechanism, parameter }, key) {
    const { type, iv, ivBits, tagBits } = parameter;
    const isGcm = mechanism === CKM_AES_GCM && type === CK_PARAMS_AES_GCM;
    if (!isGcm || ivBits !== 8 * iv.length || tagBits !== 128) throw new Error('CKR_MECHANISM_PARAM_INVALID');
    return { key: this.#keyOf(key), iv: Buffer.from(iv), ignoresNonce };
  }

  #keyOf(handle) {
    const { label } = this.#objects.get(handle.toString());
    return createHash('sha256').update(label).digest();
  }

  /** Makes a key that ends with the session. The session is read-only, so it cannot make a key in the token. */
  #addToSession(template, value) {
    const attributes = valuesOf(template);
    if (attributes.get(CKA_CLASS) !== CKO_SECRET_KEY || attributes.get(CKA_KEY_TYPE) !== CKK_GENERIC_SECRET) {
      throw new Error('CKR_TEMPLATE_INCOMPLETE');
    }
    if (attributes.get(CKA_TOKEN)) throw new Error('CKR_SESSION_READ_ONLY');
    return this.#add({
      value,
      extractable: attributes.get(CKA_EXTRACTABLE),
      isSensitive: attributes.get(CKA_SENSITIVE) ?? true,
    });
  }

  #secret(bytes) {
    this.#secrets.push(bytes);
    return bytes;
  }

  #add(object) {
    const handle = `object-${this.#objects.size + 1}`;
    this.#objects.set(handle, object);
    return Buffer.from(handle);
  }

  /** Records a call, waits if the state says so, and throws the error code that the state has for this call. */
  #call(name) {
    this.#record(name);
    const state = JSON.parse(readFileSync(this.path, 'utf8'));
    const faults = state.faults?.[name];
    const fault = Array.isArray(faults) ? faults[this.#nextOf(name)] : faults;
    if (typeof fault === 'number') Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, fault);
    if (fault === 'exit') process.exit();
    if (typeof fault === 'string') throw new Error(fault);
    // A token that was pulled out and put back has no sessions. The library looks for tokens when it is initialized.
    if (!['load', 'C_Initialize', 'C_Finalize'].includes(name) && state.epoch !== this.#epoch) {
      throw new Error('CKR_SESSION_HANDLE_INVALID');
    }
    return state;
  }

  /** How often a call with a list of faults has been made before. */
  #nextOf(name) {
    const made = this.#made.get(name) ?? 0;
    this.#made.set(name, made + 1);
    return made;
  }

  #record(name) {
    appendFileSync(`${this.path}.calls`, `${name}\n`);
  }
}

/** The values of a template, keyed by the types of their attributes. */
function valuesOf(template) {
  return new Map(template.map(({ type, value }) => [type, value]));
}

/** Writes a result into the caller's buffer, and returns the part of the buffer that it fills. */
function written(out, bytes) {
  if (bytes.length > out.length) throw new Error('CKR_BUFFER_TOO_SMALL');
  return out.subarray(0, bytes.copy(out));
}

module.exports = { PKCS11, CK_PARAMS_AES_GCM };
