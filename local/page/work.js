import { post } from './api.js';
import { byId } from './dom.js';
import { bodyWith, memberOf, readable } from './json-text.js';

/**
 * The operations by the button that starts each. Each makes the request and reads the answer.
 * The `said` of a result is the outcome in one word.
 */
const ACTS = {
  encrypt: {
    operation: 'encrypt',
    body: () =>
      JSON.stringify({ plaintext: toBase64(value('plaintext')), ...(ticked('compact') && { format: 'compact' }) }),
    take: (text) => {
      const record = memberOf(text, 'record');
      fill('record', record.startsWith('"') ? JSON.parse(record) : readable(record));
      return { said: 'Encrypted' };
    },
  },
  decrypt: {
    operation: 'decrypt',
    body: () => bodyWith('record', recordText()),
    take: (text) => {
      const output = fromBase64(JSON.parse(text).plaintext);
      return { said: 'Decrypted', output, note: compared(output, value('plaintext')) };
    },
  },
  rewrap: {
    operation: 'rewrap',
    body: () => bodyWith('record', recordText()),
    take: (text) => {
      const { rewrapped } = JSON.parse(text);
      const record = memberOf(text, 'record');
      if (rewrapped) fill('record', record.startsWith('"') ? JSON.parse(record) : readable(record));
      const note = rewrapped
        ? 'The Data Row Key is now sealed by the latest Intermediate Key. The payload was not touched.'
        : 'It was under the latest Intermediate Key already. Revoke that and start cold: then there is a later one.';
      return { said: rewrapped ? 'Rewrapped' : 'Nothing to rewrap', note, rewrapped };
    },
  },
  'encrypt-fields': {
    operation: 'encrypt-fields',
    body: () =>
      bodyWith('document', value('document'), {
        fields: paths(),
        ...(ticked('allow-missing') && { allowMissing: true }),
        ...(ticked('skip-sealed') && { skipSealed: true }),
      }),
    take: (text) => {
      fill('sealed', memberOf(text, 'document'));
      return { said: 'Fields encrypted' };
    },
  },
  'decrypt-fields': {
    operation: 'decrypt-fields',
    body: () =>
      bodyWith('document', value('sealed'), {
        fields: paths(),
        ...(ticked('allow-missing') && { allowMissing: true }),
      }),
    take: openedDocument,
  },
  'decrypt-all': {
    operation: 'decrypt-fields',
    body: () => bodyWith('document', value('sealed'), { all: true }),
    take: openedDocument,
  },
};

/**
 * Performs the operation of a button.
 * @throws Error if there is nothing to send, before any request is made
 */
export async function perform(act) {
  const { operation, body, take } = ACTS[act];
  let text;
  try {
    text = body();
  } catch {
    throw new Error(act === 'encrypt-fields' ? 'The document is no JSON.' : 'There is no record or document to send.');
  }
  const asked = await post(`/v1/partitions/${encodeURIComponent(value('partition'))}/${operation}`, text);
  return { act, asked, ...(asked.ok ? take(asked.text) : refused(asked)) };
}

function openedDocument(text) {
  const output = memberOf(text, 'document');
  return { said: 'Fields decrypted', output, note: compared(output, value('document').trim()) };
}

function refused({ text, status }) {
  const { title, code, detail, retryAfterSeconds } = JSON.parse(text);
  const retry = retryAfterSeconds === undefined ? '' : ' It is worth another try.';
  return {
    said: title ?? `Refused with ${status}`,
    problem: `${status} ${code ?? ''}: ${detail ?? 'no detail'}${retry}`,
  };
}

function compared(output, original) {
  return output === original
    ? 'What is in the clear above, character for character.'
    : 'Not what is in the clear above now.';
}

/** The record field's text as JSON: a Data Row Record is JSON already, a compact record becomes a JSON string. */
function recordText() {
  const text = value('record').trim();
  return text.startsWith('kf1') ? JSON.stringify(text) : text;
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

/** Sets the value of a field and dispatches `input`, because a browser sends no event for changes by scripts. */
function fill(id, text) {
  byId(id).value = text;
  byId(id).dispatchEvent(new Event('input'));
}

function toBase64(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}

/** Decodes bytes as UTF-8 text. Returns them in base64 if they are not UTF-8. */
function fromBase64(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `${bytes.length} bytes that are no text, in base64: ${base64}`;
  }
}
