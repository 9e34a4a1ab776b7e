import { count, el, timeOf } from './dom.js';
import { sealedParts } from './record.js';

/** The kinds of bytes. Each has a letter and a pattern, so that users can distinguish them without seeing colours. */
const KINDS = {
  header: { letter: 'H', name: 'Header' },
  ciphertext: { letter: 'C', name: 'Ciphertext' },
  tag: { letter: 'T', name: 'Tag', why: 'proof that no bit was changed' },
  proof: { letter: 'P', name: 'Proof', why: 'holds only for the context that the record was encrypted with' },
  nonce: { letter: 'N', name: 'Nonce', why: 'random, used once' },
};
const MAX_BYTES_SHOWN = 96;

/** Shows the fields of a record and the meaning of each of its bytes. */
export function bytesView(record) {
  const { form, size, created, parent, key, proof, data, header, prefix } = record;
  return [
    el(
      'dl',
      { class: 'facts' },
      fact('Form', `${form}, ${count(size, 'byte')} of text`),
      fact('Intermediate Key', `${parent.id}, made ${timeOf(parent.created)}`),
      fact('Data Row Key', `made ${timeOf(created)}`),
    ),
    ...(header === undefined ? [] : [blob(`After ${prefix}, in base64url`, 'which keys decrypt it', header)]),
    blob('Data Row Key', 'encrypted with the Intermediate Key', partsOf(key, 'the key of this record alone')),
    ...(proof === undefined ? [] : [blob('Proof', 'of the context', [{ kind: 'proof', bytes: proof }])]),
    blob(
      'Your data',
      'encrypted with the Data Row Key',
      partsOf(data, `as long as ${prefix?.endsWith('j.') ? 'its JSON text' : 'the plaintext'}`),
    ),
    el(
      'p',
      { class: 'hint' },
      'AES-256-GCM: ciphertext, then 16 bytes of tag, then 12 of nonce. If any bit changes, it does not decrypt.',
    ),
  ];
}

function fact(name, value) {
  return el('div', {}, el('dt', {}, name), el('dd', {}, value));
}

function partsOf(sealed, why) {
  const [ciphertext, ...rest] = sealedParts(sealed);
  return [{ ...ciphertext, why }, ...rest];
}

function blob(title, subtitle, parts) {
  const size = parts.reduce((sum, { bytes }) => sum + bytes.length, 0);
  return el(
    'section',
    { class: 'blob' },
    el('h3', {}, title, ' ', el('small', {}, `${subtitle}, ${count(size, 'byte')}`)),
    bar(parts),
    el('ul', {}, parts.map(row)),
  );
}

/**
 * A bar whose parts are as wide as their lengths in bytes. The rows below the bar show the same information as text.
 */
function bar(parts) {
  const strip = el('div', { class: 'bar', 'aria-hidden': 'true' });
  for (const { kind, bytes } of parts) {
    const piece = el('span', { class: `part ${kind}` }, KINDS[kind].letter);
    piece.style.flexGrow = String(Math.max(bytes.length, 1));
    strip.append(piece);
  }
  return strip;
}

function row({ kind, bytes, label, why, seconds, text }) {
  const { letter, name, why: kindsWhy } = KINDS[kind];
  const meaning = seconds === undefined ? (text ?? why ?? kindsWhy) : timeOf(seconds);
  return el(
    'li',
    {},
    el('span', { class: `badge ${kind}`, 'aria-hidden': 'true' }, letter),
    el('span', { class: 'row-name' }, label ?? name, ' ', el('small', {}, count(bytes.length, 'byte'))),
    el('span', { class: 'row-why' }, meaning),
    el('code', { class: 'hex' }, hexOf(bytes)),
  );
}

function hexOf(bytes) {
  if (bytes.length === 0) return 'none: the plaintext was empty';
  const shown = [...bytes.subarray(0, MAX_BYTES_SHOWN)].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  const groups = shown.replaceAll(/(.{8})(?!$)/g, '$1 ');
  const more = bytes.length - MAX_BYTES_SHOWN;
  return more > 0 ? `${groups} … and ${count(more, 'byte')} more` : groups;
}
