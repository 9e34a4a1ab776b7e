import { byId, timeOf } from './dom.js';

/** Asks whether to revoke a key. Resolves to whether the user agrees. */
export function agreesToRevoke({ id, created }) {
  const dialog = byId('revoke');
  byId('revoke-text').textContent =
    `${id}, created ${timeOf(created)}. This cannot be undone. The key still decrypts what it encrypted, but Keyfold creates another key to encrypt with.`;
  return new Promise((resolve) => {
    const close = (agrees) => () => {
      dialog.close();
      resolve(agrees);
    };
    byId('revoke-yes').onclick = close(true);
    byId('revoke-no').onclick = close(false);
    dialog.oncancel = () => resolve(false);
    dialog.showModal();
  });
}
