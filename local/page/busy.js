import { byId } from './dom.js';

let tasks = 0;

/**
 * Shows the busy sign while a task runs. `reasonOf` returns the reason for a wait, if there is one, such as a region
 * that hangs.
 */
export async function whileBusy(reasonOf, task) {
  const startedAt = performance.now();
  const show = () => {
    const seconds = Math.floor((performance.now() - startedAt) / 1000);
    byId('busy-text').textContent = [`Waiting for an answer, ${seconds} s.`, reasonOf()].join(' ').trim();
  };
  tasks += 1;
  show();
  document.body.classList.add('busy');
  const timer = setInterval(show, 1000);
  try {
    return await task();
  } finally {
    clearInterval(timer);
    tasks -= 1;
    if (tasks === 0) document.body.classList.remove('busy');
  }
}
