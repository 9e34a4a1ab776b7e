import { byId, el } from './dom.js';

/** Marks a step of the tour as done. Does nothing if it is done already. */
function finish(step) {
  const item = byId('tour').querySelector(`[data-step="${step}"]`);
  if (item.classList.contains('done')) return;
  item.classList.add('done');
  item.append(el('span', { class: 'unseen' }, ' Done.'));
}

/** Marks the step of the tour that a request completed, if any. Decides by the operation and its calls. */
export function noteForTour({ act, asked, rewrapped }) {
  if (!asked.ok) return;
  const { calls } = asked;
  const seals = act.startsWith('encrypt');
  if (seals) finish('first');
  if (seals && calls.length === 0) finish('warm');
  const kms = calls.filter(({ service }) => service === 'KMS');
  const failedOver = kms.some(({ outcome }) => outcome !== 'ok') && kms.some(({ outcome }) => outcome === 'ok');
  if (act.startsWith('decrypt') && failedOver) finish('failover');
  if (rewrapped === true) finish('rewrap');
}
