const TAG_BYTES = 16;
const NONCE_BYTES = 12;
const PROOF_BYTES = 32;
const SEALED_KEY_BYTES = 32 + TAG_BYTES + NONCE_BYTES;

/** Parses a Data Row Record or a compact record. @throws Error that says what is wrong with the text */
export function readRecord(text) {
  return /^"?kf[12]j?\./.test(text) ? readCompact(text.replace(/^"|"$/g, '')) : readObject(text);
}

/** The parts of a sealed value, in order: ciphertext, tag and nonce (wire format). */
export function sealedParts(bytes) {
  const tagAt = bytes.length - NONCE_BYTES - TAG_BYTES;
  if (tagAt < 0) return [{ kind: 'ciphertext', bytes }];
  return [
    { kind: 'ciphertext', bytes: bytes.subarray(0, tagAt) },
    { kind: 'tag', bytes: bytes.subarray(tagAt, tagAt + TAG_BYTES) },
    { kind: 'nonce', bytes: bytes.subarray(tagAt + TAG_BYTES) },
  ];
}

function readObject(text) {
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new Error('This is neither JSON nor a compact record.');
  }
  const { Key: key, Proof: proof, Data: data } = value ?? {};
  if (typeof key?.Key !== 'string' || typeof data !== 'string') throw new Error('This JSON is not a Data Row Record.');
  return {
    form: 'JSON',
    size: new TextEncoder().encode(JSON.stringify(value)).length,
    created: key.Created,
    parent: { id: key.ParentKeyMeta?.KeyId, created: key.ParentKeyMeta?.Created },
    key: bytesOf(key.Key),
    proof: typeof proof === 'string' ? bytesOf(proof) : undefined,
    data: bytesOf(data),
  };
}

function readCompact(text) {
  const [prefix, encoded] = [text.slice(0, text.indexOf('.') + 1), text.slice(text.indexOf('.') + 1)];
  const bytes = bytesOf(encoded.replaceAll('-', '+').replaceAll('_', '/'));
  const view = new DataView(bytes.buffer);
  const idBytes = bytes.length < 14 ? Number.NaN : view.getUint16(12);
  const keyAt = 14 + idBytes;
  const proofAt = keyAt + SEALED_KEY_BYTES;
  const dataAt = proofAt + (prefix.startsWith('kf2') ? PROOF_BYTES : 0);
  if (!(dataAt + TAG_BYTES + NONCE_BYTES <= bytes.length)) throw new Error('This compact record ends too early.');
  const uint48 = (at) => view.getUint16(at) * 2 ** 32 + view.getUint32(at + 2);
  const id = new TextDecoder().decode(bytes.subarray(14, keyAt));
  return {
    form: prefix.endsWith('j.') ? 'compact, of a JSON value' : 'compact, of bytes',
    prefix,
    size: text.length,
    created: uint48(0),
    parent: { id, created: uint48(6) },
    header: [
      { kind: 'header', label: 'Data Row Key made', bytes: bytes.subarray(0, 6), seconds: uint48(0) },
      { kind: 'header', label: 'Intermediate Key made', bytes: bytes.subarray(6, 12), seconds: uint48(6) },
      { kind: 'header', label: 'Length of its id', bytes: bytes.subarray(12, 14), text: String(idBytes) },
      { kind: 'header', label: "Intermediate Key's id", bytes: bytes.subarray(14, keyAt), text: id },
    ],
    key: bytes.subarray(keyAt, proofAt),
    proof: dataAt > proofAt ? bytes.subarray(proofAt, dataAt) : undefined,
    data: bytes.subarray(dataAt),
  };
}

function bytesOf(base64) {
  try {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  } catch {
    throw new Error('This record is not valid base64.');
  }
}
