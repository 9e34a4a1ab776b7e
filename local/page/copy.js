import { el } from './dom.js';

const SHOWN_MS = 2000;

/** Creates a button that copies text. `what` names the text for screen readers, such as "the record". */
export function copyButton(what, textOf) {
  const label = el('span', {}, 'Copy');
  const button = el(
    'button',
    { type: 'button', class: 'small quiet' },
    label,
    el('span', { class: 'unseen' }, ` ${what}`),
  );
  button.addEventListener('click', async () => {
    label.textContent = await copied(textOf());
    setTimeout(() => (label.textContent = 'Copy'), SHOWN_MS);
  });
  return button;
}

async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return 'Copied';
  } catch {
    return 'The browser refused';
  }
}
