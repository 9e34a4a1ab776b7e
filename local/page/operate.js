/** Revokes and rotates keys and erases a partition with `keyfold` commands, and shows whether the last record opens. */
import { post } from './api.js';
import { byId, el, timeOf } from './dom.js';
import { perform } from './work.js';

/** The operations, keyed by the button that starts each. `question` is the question that the page asks first. */
export const OPERATIONS = {
  rotate: {
    question: (partition) => rotationOf(`the Intermediate Key of ${partition}`),
    run: (partition) => rotate({ partition }),
  },
  'rotate-system': { question: () => rotationOf('the System Key'), run: () => rotate({}) },
  erase: {
    question: (partition) => ({
      title: `Erase ${partition}?`,
      text: `This marks and revokes every key of ${partition}. Its records no longer decrypt, and nothing new is encrypted for it. You can cancel until the keys are deleted.`,
      action: 'Erase',
    }),
    run: (partition) =>
      erase('Keys marked', { partition, step: 'begin', reason: byId('reason').value, wait: byId('wait').value }),
  },
  'erase-cancel': {
    question: (partition) => ({
      title: `Cancel the erasure of ${partition}?`,
      text: 'The records decrypt again. The old keys stay revoked, so the next encrypt makes a new key.',
      action: 'Cancel the erasure',
      harmless: true,
    }),
    run: (partition) => erase('Erasure cancelled', { partition, step: 'cancel' }),
  },
  'erase-finish': {
    question: (partition) => ({
      title: `Delete the keys of ${partition} for good?`,
      text: 'No record of the partition can ever be decrypted again. In production, the command refuses until the waiting time is over. Here, the page sets the clock of the command to that time.',
      action: 'Delete the keys',
    }),
    run: (partition) => erase('Keys deleted', { partition, step: 'finish' }),
  },
};

/** Revokes a key. This cannot be undone. Returns the command. @throws Error with the reason if the command fails */
export async function revoke({ id, created }) {
  const { command, problem } = await ran('/local/keys/revoke', { id, created });
  if (problem !== undefined) throw new Error(problem);
  return command;
}

function rotationOf(key) {
  const text = `This makes the next version of ${key} now, and revokes nothing. Old records still decrypt.`;
  return { title: `Rotate ${key}?`, text, action: 'Rotate', harmless: true };
}

function rotate(request) {
  return runCommand('Rotated', '/local/keys/rotate', request, ([{ id, created }]) =>
    created === null
      ? `Another process has just rotated ${id}.`
      : `${id} has a new key, created ${timeOf(created)}. The former key stays valid.`,
  );
}

function erase(said, request) {
  return runCommand(said, '/local/partitions/erase', request, ({ says }) => says);
}

/** Runs a command. `textOf` converts the command's JSON output to the text that the page shows. */
async function runCommand(said, path, request, textOf) {
  const { command, answer, problem, asked } = await ran(path, request);
  const why = ['Ran ', el('code', {}, command)];
  if (problem !== undefined) return { said: 'Not done', problem, why, asked };
  return { said, output: textOf(answer), note: await noteOnRecord(), why, asked };
}

/** Runs a command. Returns its JSON output. If the command failed, `problem` says why. */
async function ran(path, request) {
  const asked = await post(path, JSON.stringify(request));
  if (!asked.ok) throw new Error(`${path}: ${asked.status}`);
  const { command, exitCode, stdout, stderr } = JSON.parse(asked.text);
  const answer = stdout === '' ? undefined : JSON.parse(stdout);
  const problem = exitCode === 0 ? undefined : (answer?.says ?? stderr.split('\n').at(-1));
  return { command, answer, problem, asked };
}

/**
 * Starts a cold process, because a warm one keeps its keys for a while. Then tries to decrypt the record on the page.
 */
async function noteOnRecord() {
  await post('/local/cold-start');
  if (byId('record').value.trim() === '') return 'The next request starts cold.';
  const { problem } = await perform('decrypt').catch(({ message }) => ({ problem: message }));
  return problem === undefined
    ? 'After a cold start, the last record still decrypts.'
    : `After a cold start, the last record does not decrypt. ${problem}`;
}
