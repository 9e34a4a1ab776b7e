import { byId } from './dom.js';

const dialog = byId('ask');
byId('ask-yes').addEventListener('click', () => dialog.close('yes'));
byId('ask-no').addEventListener('click', () => dialog.close(''));

/**
 * Asks the user to confirm an action. `action` is the label of the button that confirms it. `harmless` is true if the
 * action loses nothing. Resolves to true if the user confirms.
 */
export function agreesTo({ title, text, action, harmless = false }) {
  byId('ask-title').textContent = title;
  byId('ask-text').textContent = text;
  byId('ask-yes').textContent = action;
  byId('ask-yes').className = harmless ? 'primary' : 'danger';
  dialog.returnValue = '';
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener('close', () => resolve(dialog.returnValue === 'yes'), { once: true });
  });
}
