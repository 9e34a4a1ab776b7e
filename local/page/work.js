import { ask } from './api.js';
import { byId } from './dom.js';
import { bodyWith, memberOf, readable } from './json-text.js';

/**
 * The operations, by the button that asks for each: what goes into the request, and what becomes of the answer. A result has
 * `said`, an outcome in a word.
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
 * Does what a button asks for.
 * @throws Error where there is nothing to send: then no request was made
 */
export async function perform(act) {
  const { operation, body, take } = ACTS[act];
  let text;
  try {
    text = body();
  } catch {
    throw new Error(act === 'encrypt-fields' ? 'The document is no JSON.' : 'There is no record or document to send.');
  }
  const asked = await ask(`/v1/partitions/${encodeURIComponent(value('partition'))}/${operation}`, text);
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

/** A record is a JSON object or, as a compact string, not yet JSON. */
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

/** What a script writes into a field makes no event of its own. */
function fill(id, text) {
  byId(id).value = text;
  byId(id).dispatchEvent(new Event('input'));
}

function toBase64(text) {
  return btoa(Array.from(new TextEncoder().encode(text), (byte) => String.fromCharCode(byte)).join(''));
}

/** The text; or, of what is no UTF-8, its bytes in base64. */
function fromBase64(base64) {
  const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return `${bytes.length} bytes that are no text, in base64: ${base64}`;
  }
}
