import { byId, timeOf } from './dom.js';

const dialog = byId('revoke');
byId('revoke-yes').addEventListener('click', () => dialog.close('revoke'));
byId('revoke-no').addEventListener('click', () => dialog.close(''));

/** Asks the user whether to revoke a key. Resolves to true if the user agrees. Escape declines. */
export function agreesToRevoke({ id, created }) {
  byId('revoke-text').textContent =
    `${id}, created ${timeOf(created)}. This cannot be undone. The key still decrypts what it encrypted, but Keyfold creates another key to encrypt with.`;
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'revoke'), { once: true });
  });
}
