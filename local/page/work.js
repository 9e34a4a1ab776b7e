import { post } from './api.js';
import { byId } from './dom.js';
import { bodyWith, memberOf, readable } from './json-text.js';

/**
 * The operations, keyed by the buttons that start them. Each operation builds the body of its request and reads the
 * response. In a result, `said` is the outcome in one word, and `usedKeys` is true if the request certainly needed
 * keys.
 */
const ACTS = {
  encrypt: {
    operation: 'encrypt',
    body: () =>
      bodyWith(context(), {
        plaintext: toBase64(value('plaintext')),
        ...(ticked('compact') && { format: 'compact' }),
      }),
    take: (text) => {
      const record = memberOf(text, 'record');
      fill('record', record.startsWith('"') ? JSON.parse(record) : readable(record));
      return { said: 'Encrypted', usedKeys: true };
    },
  },
  decrypt: {
    operation: 'decrypt',
    body: () => bodyWith({ record: recordText(), ...context() }),
    take: (text) => {
      const output = fromBase64(JSON.parse(text).plaintext);
      return { said: 'Decrypted', output, note: compared(output, value('plaintext')), usedKeys: true };
    },
  },
  rewrap: {
    operation: 'rewrap',
    body: () => bodyWith({ record: recordText() }),
    take: (text) => {
      const { rewrapped } = JSON.parse(text);
      const record = memberOf(text, 'record');
      if (rewrapped) fill('record', record.startsWith('"') ? JSON.parse(record) : readable(record));
      const note = rewrapped
        ? 'The latest Intermediate Key now encrypts the Data Row Key. The payload is unchanged.'
        : 'It already was under the latest Intermediate Key. Revoke that key and start cold: then there is a later one.';
      return { said: rewrapped ? 'Rewrapped' : 'Nothing to rewrap', note, rewrapped, usedKeys: true };
    },
  },
  'encrypt-fields': {
    operation: 'encrypt-fields',
    body: () =>
      bodyWith(
        { document: value('document'), ...context() },
        {
          fields: paths(),
          ...(ticked('allow-missing') && { allowMissing: true }),
          ...(ticked('skip-sealed') && { skipSealed: true }),
        },
      ),
    take: (text) => {
      const output = memberOf(text, 'document');
      fill('sealed', output);
      return { said: 'Fields encrypted', usedKeys: output !== value('document').trim() };
    },
  },
  'decrypt-fields': {
    operation: 'decrypt-fields',
    body: () =>
      bodyWith(
        { document: value('sealed'), ...context() },
        { fields: paths(), ...(ticked('allow-missing') && { allowMissing: true }) },
      ),
    take: openedDocument,
  },
  'decrypt-all': {
    operation: 'decrypt-fields',
    body: () => bodyWith({ document: value('sealed'), ...context() }, { all: true }),
    take: openedDocument,
  },
};

/**
 * Performs the operation that a button starts.
 * @throws Error, without making a request, if there is nothing to send
 */
export async function perform(act) {
  const { operation, body, take } = ACTS[act];
  checkContext();
  let text;
  try {
    text = body();
  } catch {
    throw new Error(act === 'encrypt-fields' ? 'The document is not JSON.' : 'There is no record or document to send.');
  }
  const asked = await post(`/v1/partitions/${encodeURIComponent(value('partition'))}/${operation}`, text);
  return { act, asked, ...(asked.ok ? take(asked.text) : refused(asked)) };
}

function openedDocument(text) {
  const output = memberOf(text, 'document');
  const usedKeys = output !== value('sealed').trim();
  return { said: 'Fields decrypted', output, note: compared(output, value('document').trim()), usedKeys };
}

function refused({ text, status }) {
  const { title, code, detail, retryAfterSeconds } = JSON.parse(text);
  const retry = retryAfterSeconds === undefined ? '' : ' Try again later.';
  return {
    said: title ?? `Refused with ${status}`,
    problem: `${status} ${code ?? ''}: ${detail ?? 'no detail'}${retry}`,
  };
}

function compared(output, original) {
  return output === original
    ? 'The same as the plaintext, character for character.'
    : 'Not the same as the plaintext on this page now.';
}

/** The text in the record field as JSON. A Data Row Record is JSON already; a compact record becomes a JSON string. */
function recordText() {
  const text = value('record').trim();
  return /^kf[12]/.test(text) ? JSON.stringify(text) : text;
}

/** The context, as a member whose value is JSON text. Empty if the field is empty. */
function context() {
  const text = value('context').trim();
  return text === '' ? {} : { context: text };
}

/** @throws Error if the context is not JSON */
function checkContext() {
  try {
    bodyWith(context());
  } catch {
    throw new Error('The context is not JSON.');
  }
}

function paths() {
  const lines = value('paths').split('\n');
  return lines.map((line) => line.trim()).filter((line) => line !== '');
}

function value(id) {
  return byId(id).value;
}

function ticked(id) {
  return byId(id).checked;
}

/** Sets the value of a field, and dispatches `input`, because a browser sends no event if a script changes a field. */
function fill(id, text) {
  byId(id).value = text;
  byId(id).dispatchEvent(new Event('input'));
}

function toBase64(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}

/** Decodes bytes as UTF-8 text. Returns base64 if the bytes are not UTF-8. */
function fromBase64(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `${bytes.length} bytes that are no text, in base64: ${base64}`;
  }
}
