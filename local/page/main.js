import { post, readHealth, readState, revoke, setFault } from './api.js';
import { bytesView } from './bytes-view.js';
import { chainView } from './chain-view.js';
import { byId, el, timeOf } from './dom.js';
import { compactRecordsOf, readable } from './json-text.js';
import { keysView } from './keys-view.js';
import { lastView, statusOf } from './last-view.js';
import { readRecord } from './record.js';
import { regionsView } from './regions-view.js';
import { noteForTour } from './tour.js';
import { perform } from './work.js';

/** The state of the local world at the last refresh. */
let world = { regions: [], keys: [] };
let keysShown;
let before = Promise.resolve();
const showRegions = regionsView(byId('regions'), (region, fault) => control(() => setFault(region, fault)));

for (const button of document.querySelectorAll('[data-act]'))
  button.addEventListener('click', () => void act(button.dataset.act));
for (const form of document.forms) form.addEventListener('submit', (event) => event.preventDefault());
for (const choice of document.getElementsByName('what')) choice.addEventListener('change', showWhat);
for (const id of ['record', 'sealed']) byId(id).addEventListener('input', showRecord);
byId('pick').addEventListener('change', explain);
byId('cold-start').addEventListener('click', () => void control(startCold));
byId('maintenance').addEventListener('click', () => void control(maintain));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey))
    event.target.closest('.pane')?.querySelector('.primary').click();
});
// The user may have changed the local world in a terminal, so refresh when the window gets the focus again.
window.addEventListener('focus', () => void control(async () => {}));
showWhat();
await control(async () => {});

async function act(name) {
  await control(async () => {
    const result = await perform(name);
    show(result);
    noteForTour(result);
  }, readHealth);
}

/** Changes the local world, then refreshes. Runs one change at a time, to count the calls of each request. */
function control(work, health = async () => world.health) {
  before = before.then(() => doAndLook(work, health));
  return before;
}

async function doAndLook(work, health) {
  document.body.classList.add('busy');
  try {
    byId('trouble').hidden = true;
    await work();
    world = { ...(await readState()), health: await health() };
    showRegions(world);
    showKeys();
    explain();
  } catch (error) {
    byId('trouble').textContent = error.message;
    byId('trouble').hidden = false;
  } finally {
    document.body.classList.remove('busy');
  }
}

function show(result) {
  byId('last-status').textContent = statusOf(result);
  byId('last').replaceChildren(...lastView(result));
}

/** Redraws the view only if its data changed, because the focus may be inside it. */
function showKeys() {
  const now = JSON.stringify(world.keys);
  if (now === keysShown) return;
  keysShown = now;
  byId('keys').replaceChildren(keysView(world.keys, (row) => control(() => revokeRow(row))));
}

async function startCold() {
  const asked = await post('/local/cold-start');
  const why = 'The process has ended, and what it kept in memory is gone. The next request starts a new one.';
  show({ said: 'Started cold', why, asked });
  world.health = undefined;
}

async function maintain() {
  const asked = await post('/local/maintenance');
  const why = 'It tries every wrap of every System Key, renews those that are missing, and reports what it found.';
  show({ said: asked.ok ? 'Maintained' : 'The maintenance failed', output: readable(asked.text), why, asked });
}

async function revokeRow(row) {
  await revoke(row);
  byId('keys-status').focus();
  byId('keys-status').textContent =
    `${row.id}, made ${timeOf(row.created)}, is revoked. It still opens what it sealed. A warm process seals with it until it looks again, within an hour: start cold to see a new key take over at once.`;
}

function showWhat() {
  const fields = document.querySelector('[name="what"]:checked').value === 'fields';
  byId('text').hidden = fields;
  byId('fields').hidden = !fields;
  showRecord();
}

/** Offers the records of the current output for selection: a single record, or one for each field of a document. */
function showRecord() {
  const records = sealedNow();
  byId('pick-field').hidden = records.length < 2;
  byId('pick').replaceChildren(
    ...records.map(({ name, record }, i) =>
      el('option', { value: record }, name ?? `Field ${i + 1} of ${records.length}`),
    ),
  );
  explain();
}

function sealedNow() {
  if (!byId('fields').hidden) return compactRecordsOf(byId('sealed').value);
  const record = byId('record').value.trim();
  return record === '' ? [] : [{ record }];
}

function explain() {
  const text = byId('pick').value;
  try {
    const record = text === '' ? undefined : readRecord(text);
    const parts = record === undefined ? [empty()] : bytesView(record);
    byId('bytes').replaceChildren(...parts);
    byId('chain').replaceChildren(record === undefined ? empty() : chainView(record, world));
  } catch (error) {
    byId('bytes').replaceChildren(el('p', { class: 'problem' }, error.message));
    byId('chain').replaceChildren(empty());
  }
}

function empty() {
  return el('p', { class: 'empty' }, 'Encrypt something to see this.');
}
