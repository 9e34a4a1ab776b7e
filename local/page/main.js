import { post, readHealth, readState, setFault } from './api.js';
import { agreesTo } from './ask.js';
import { whileBusy } from './busy.js';
import { bytesView } from './bytes-view.js';
import { chainView, rowOf } from './chain-view.js';
import { copyButton } from './copy.js';
import { byId, el, timeOf } from './dom.js';
import { compactRecordsOf, readable } from './json-text.js';
import { keysView } from './keys-view.js';
import { lastView, statusOf } from './last-view.js';
import { OPERATIONS, revoke } from './operate.js';
import { readRecord } from './record.js';
import { regionsView } from './regions-view.js';
import { noteForTour, startTour } from './tour.js';
import { perform } from './work.js';

const COPIED = { record: 'the record', sealed: 'the document' };
/** The steps of the tour. */
const STEPS = { first: () => onText('encrypt'), warm: () => onText('encrypt'), failover, rewrap };

/** The state of the local world at the last refresh. */
let world = { keyService: 'KMS', regions: [], keys: [] };
let keysShown;
let before = Promise.resolve();
const showRegions = regionsView(byId('regions'), changeFault);

for (const button of document.querySelectorAll('[data-act]'))
  button.addEventListener('click', () => void act(button.dataset.act));
for (const form of document.forms) form.addEventListener('submit', (event) => event.preventDefault());
for (const choice of document.getElementsByName('what')) choice.addEventListener('change', showWhat);
for (const id of ['record', 'sealed']) byId(id).addEventListener('input', showRecord);
byId('pick').addEventListener('change', explain);
for (const place of document.querySelectorAll('[data-copy]')) {
  const { copy } = place.dataset;
  place.replaceWith(copyButton(COPIED[copy], () => byId(copy).value));
}
startTour((step) => control(STEPS[step], readHealth));
byId('cold-start').addEventListener('click', () => void control(startCold));
byId('maintenance').addEventListener('click', () => void control(maintain));
for (const [id, operation] of Object.entries(OPERATIONS))
  byId(id).addEventListener('click', () => void operate(operation));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey))
    event.target.closest('.pane')?.querySelector('.primary').click();
});
// The user may have changed the local world in a terminal. So refresh when the window regains the focus.
window.addEventListener('focus', () => void control(async () => {}));
showWhat();
await control(async () => {});

function act(name) {
  return control(() => request(name), readHealth);
}

async function request(name) {
  const result = await perform(name);
  show(result);
  noteForTour(result);
}

/** Asks the user, and then runs an operation on the partition in the form. */
async function operate({ question, run }) {
  const partition = byId('partition').value;
  if (await agreesTo(question(partition))) await control(async () => show(await run(partition)), readHealth);
}

/** Sets or clears a fault immediately, even while a request waits for a region that hangs. */
async function changeFault(region, fault) {
  await guard(async () => {
    await setFault(region, fault);
    world = { ...(await readState()), health: world.health };
    showRegions(world);
    explain();
  });
}

/**
 * Changes the local world, and then refreshes the page. Runs one change at a time. Otherwise the calls of one request
 * could not be distinguished from those of another.
 */
function control(work, health = async () => world.health) {
  before = before.then(() => doAndLook(work, health));
  return before;
}

function doAndLook(work, health) {
  return guard(() =>
    whileBusy(hanging, async () => {
      await work();
      world = { ...(await readState()), health: await health() };
      showKeyService();
      showRegions(world);
      showKeys();
      explain();
    }),
  );
}

/** Shows the message of an error that the task throws. */
async function guard(work) {
  try {
    byId('trouble').hidden = true;
    await work();
  } catch (error) {
    byId('trouble').textContent = error.message;
    byId('trouble').hidden = false;
  }
}

/** Returns a sentence that names the regions that hang. Returns an empty string if no region hangs. */
function hanging() {
  const regions = world.regions.filter(({ fault }) => fault?.kind === 'hang').map(({ region }) => region);
  return regions.length === 0 ? '' : `Regions that hang: ${regions.join(' and ')}.`;
}

/** Shows the elements that apply to the current key service, and hides the elements for other key services. */
function showKeyService() {
  for (const part of document.querySelectorAll('[data-only]')) part.hidden = part.dataset.only !== world.keyService;
}

function show(result) {
  byId('last-status').textContent = statusOf(result, world.keyService);
  byId('last').replaceChildren(...lastView(result, world.keyService));
  const { top } = byId('last-status').getBoundingClientRect();
  if (top < 0 || top > innerHeight / 2) byId('last').closest('.card').scrollIntoView();
}

/** Redraws the view only if its data has changed, because the focus may be inside the view. */
function showKeys() {
  const isErasing = world.keys.some(({ kind, state }) => kind !== 'tombstone' && state === 'erased');
  for (const button of document.querySelectorAll('[data-erasing]')) button.hidden = !isErasing;
  const now = JSON.stringify(world.keys);
  if (now === keysShown) return;
  keysShown = now;
  byId('keys').replaceChildren(keysView(world.keys, revokeRow));
}

async function startCold() {
  const asked = await post('/local/cold-start');
  const why = 'The process and the keys in its memory are gone. The next request starts a new process.';
  show({ said: 'Started cold', why, asked });
  world.health = undefined;
}

/** Switches the input from a document to text, and then performs an operation. */
async function onText(name) {
  document.querySelector('[name="what"][value="text"]').checked = true;
  showWhat();
  await request(name);
}

async function failover() {
  if (sealedNow().length === 0 || byId('text').hidden) await onText('encrypt');
  const preferred = world.regions.find((one) => one.preferred);
  if (preferred.fault === null) await setFault(preferred.region, { kind: 'down' });
  await startCold();
  await onText('decrypt');
}

async function rewrap() {
  if (sealedNow().length === 0 || byId('text').hidden) await onText('encrypt');
  const { keys } = await readState();
  const row = rowOf(keys, readRecord(byId('record').value.trim()).parent);
  if (row?.state === 'valid') {
    if (!(await agreesTo(revocationOf(row)))) return;
    await revokeNow(row);
  }
  await startCold();
  await onText('rewrap');
}

async function maintain() {
  const asked = await post('/local/maintenance');
  const why =
    world.keyService === 'KMS'
      ? 'It lets each region decrypt each System Key, adds what is missing, and reports what it found.'
      : `It checks that ${world.keyService} decrypts each System Key, and reports what it found.`;
  show({ said: asked.ok ? 'Maintained' : 'The maintenance failed', output: readable(asked.text), why, asked });
}

function revocationOf({ id, created }) {
  const text = `${id}, created ${timeOf(created)}. This cannot be undone. The key still decrypts what it encrypted, but Keyfold creates another key to encrypt with.`;
  return { title: 'Revoke this key?', text, action: 'Revoke' };
}

async function revokeRow(row) {
  if (!(await agreesTo(revocationOf(row)))) return;
  await control(() => revokeNow(row));
  byId('keys-status').focus();
}

async function revokeNow(row) {
  const command = await revoke(row);
  byId('keys-status').textContent =
    `Ran ${command}. ${row.id}, created ${timeOf(row.created)}, is revoked. It still decrypts what it encrypted. A running process encrypts with it until it reads the table again, within an hour. Start cold to get a new key at once.`;
}

function showWhat() {
  const fields = document.querySelector('[name="what"]:checked').value === 'fields';
  byId('text').hidden = fields;
  byId('fields').hidden = !fields;
  showRecord();
}

/** Lets the user select one of the records in the current output. If there is only one, the page selects it. */
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
