import { byId, el } from './dom.js';

/** Runs a step when the user presses its button. `run` gets the name of the step. */
export function startTour(run) {
  for (const item of byId('tour').children)
    item.querySelector('button').addEventListener('click', () => run(item.dataset.step));
}

/** Marks a step of the tour as done, unless it is marked already. */
function finish(step) {
  const item = byId('tour').querySelector(`[data-step="${step}"]`);
  if (item.classList.contains('done')) return;
  item.classList.add('done');
  item.querySelector('button').append(el('span', { class: 'unseen' }, ' Done.'));
}

/**
 * Marks the steps of the tour that a request completed. The request's operation and calls show which steps these are.
 */
export function noteForTour({ act, asked, rewrapped, usedKeys }) {
  if (!asked.ok) return;
  const { calls } = asked;
  const encrypts = act.startsWith('encrypt');
  if (encrypts) finish('first');
  if (encrypts && usedKeys && calls.length === 0) finish('warm');
  const kms = calls.filter(({ service }) => service === 'KMS');
  const failedOver = kms.some(({ outcome }) => outcome !== 'ok') && kms.some(({ outcome }) => outcome === 'ok');
  if (act.startsWith('decrypt') && failedOver) finish('failover');
  if (rewrapped === true) finish('rewrap');
}
