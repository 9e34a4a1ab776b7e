/** Runs the scripts of the local page against a local world, on a DOM without a browser. */
import { JSDOM, type PageElement, type PageNode, type PageWindow } from 'jsdom';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { startLocalProcess, stopLocalProcess, type LocalProcess } from '../../support/local-process.ts';

const FOLDER = join(import.meta.dirname, '..', '..', '..', 'local', 'page');

let world: LocalProcess;
let page: PageWindow;
let copied: string[];
let tenants = 0;

beforeAll(async () => {
  world = await startLocalProcess();
});
afterAll(() => stopLocalProcess(world));

beforeEach(async () => {
  await open();
  byId('partition').value = `tenant-${(tenants += 1)}`;
});
afterEach(() => {
  vi.unstubAllGlobals();
  page.close();
});

/** Opens the page, as a reload does. */
async function open(): Promise<void> {
  page = new JSDOM(await readFile(join(FOLDER, 'index.html'), 'utf8'), { url: world.url }).window;
  addDialog(page.HTMLDialogElement.prototype);
  copied = [];
  const ask = globalThis.fetch;
  vi.stubGlobal('document', page.document);
  vi.stubGlobal('window', page);
  vi.stubGlobal('Event', page.Event);
  vi.stubGlobal('innerHeight', 800);
  vi.stubGlobal('location', page.location);
  vi.stubGlobal('navigator', { clipboard: { writeText: async (text: string) => void copied.push(text) } });
  vi.stubGlobal('fetch', (path: string, options: RequestInit) => ask(world.url + path, options));
  vi.resetModules();
  await import(join(FOLDER, 'main.js'));
}

/** Adds what jsdom lacks: a dialog that opens and closes. */
function addDialog(dialog: PageElement): void {
  dialog.showModal = function (this: PageElement): void {
    this.open = true;
  };
  dialog.close = function (this: PageElement, value = ''): void {
    this.open = false;
    this.returnValue = value;
    this.dispatchEvent(new page.Event('close'));
  };
}

function byId(id: string): PageElement {
  const element = page.document.getElementById(id);
  if (element === null) throw new Error(`no #${id}`);
  return element;
}

/** The text of an element, with single spaces. */
function textOf(element: PageElement | null): string {
  return element?.textContent.replaceAll(/\s+/g, ' ').trim() ?? '';
}

function texts(selector: string, within: PageElement): string[] {
  return [...within.querySelectorAll(selector)].map(textOf);
}

function buttons(): PageElement[] {
  return [...page.document.querySelectorAll('button')];
}

function buttonOf(text: string): PageElement {
  const button = buttons().find((one) => textOf(one) === text || one.getAttribute('aria-label') === text);
  if (button === undefined) throw new Error(`no button ${text}`);
  return button;
}

/** Waits until a check passes. The local world may be slow. */
function waitFor(check: () => void): Promise<void> {
  return vi.waitFor(check, { timeout: 60_000 });
}

/** Waits until the page is idle. Returns what it says about the last request. */
async function settled(): Promise<string> {
  // The page shows that it is busy only after the listener of the click has returned.
  await new Promise(setImmediate);
  await waitFor(() => expect(page.document.body.className).toBe(''));
  return byId('last-status').textContent;
}

/** Presses a button, and waits for the result. */
async function press(text: string): Promise<string> {
  buttonOf(text).click();
  return settled();
}

/** Presses a button, and then a button of the dialog. */
async function pressAndAnswer(text: string, answer: 'ask-yes' | 'ask-no'): Promise<string> {
  buttonOf(text).click();
  await waitFor(() => expect(byId('ask').open).toBe(true));
  byId(answer).click();
  return settled();
}

/** Selects what to encrypt. */
function choose(what: 'text' | 'fields'): void {
  const choice = page.document.querySelector(`[name="what"][value="${what}"]`);
  if (choice === null) throw new Error(`no choice ${what}`);
  choice.checked = true;
  choice.dispatchEvent(new page.Event('change', { bubbles: true }));
}

function fill(id: string, value: string): void {
  byId(id).value = value;
  byId(id).dispatchEvent(new page.Event('input', { bubbles: true }));
}

const partition = (): string => byId('partition').value;
const why = (): string => textOf(page.document.querySelector('.why'));
const problem = (): string => textOf(page.document.querySelector('.problem'));
const note = (): string => textOf(byId('last').querySelector('.note'));
const opened = (): string => byId('opened').textContent;
const doneSteps = (): string[] =>
  [...page.document.querySelectorAll('li.done')].map(({ dataset }) => dataset['step'] ?? '');

/** The label of the button that revokes the partition's key. Empty if the page has no such button. */
function revokeLabel(): string {
  const labels = buttons().map((one) => one.getAttribute('aria-label') ?? '');
  return labels.find((label) => label.startsWith(`Revoke _IK_${partition()}_`)) ?? '';
}

/** The kind and state of each row of the key table that belongs to the current partition. */
function keyRows(): string[] {
  const rows = [...byId('keys').querySelectorAll('tr')].filter((row) => row.textContent.includes(`_${partition()}_`));
  return rows.map((row) =>
    [...row.children]
      .slice(1, 4)
      .map(textOf)
      .filter((_, i) => i !== 1)
      .join(' '),
  );
}

/** Replaces the numbers in a text by 0, because they differ between runs. Replaces a long text by an ellipsis. */
function plain(text: string): string {
  return text.length > 150 ? '…' : text.replaceAll(/[\da-f]{8}[\da-f -]*|\d+/g, '0');
}

/** The elements and texts of a view. See {@link plain}. */
function outlineOf(node: PageNode, indent = ''): string {
  if (!(node instanceof page.Element)) return `${indent}${plain(node.textContent)}`;
  const attributes = [...node.attributes].map(({ name, value }) => ` ${name}="${plain(value)}"`);
  const start = `${indent}<${node.localName}${attributes.join('')}>`;
  if (node.children.length === 0) return `${start}${plain(node.textContent)}`;
  return [start, ...[...node.childNodes].map((one) => outlineOf(one, `${indent}  `))].join('\n');
}

it('the views of the page equal their reviewed file', async () => {
  // This test is the first one, so the key table holds no rows of other tests.
  expect(await press('Encrypt')).toBe('Encrypted: 2 KMS calls, 4 DynamoDB calls.');
  expect(why()).toBe(
    'Created a System Key, encrypted by KMS in each region that answered. Stored new keys, encrypted, in DynamoDB.',
  );
  await press('Start cold');
  expect(await press('Decrypt')).toMatch(/^Decrypted/);
  const views = ['last', 'bytes', 'chain', 'regions', 'keys'].map((id) => outlineOf(byId(id)));
  await expect(`${views.join('\n\n')}\n`).toMatchFileSnapshot('reviewed/page-views.txt');
});

it('the table of keys describes rows of each kind, even rows that cannot be read', async () => {
  const { keysView } = await import(join(FOLDER, 'keys-view.js'));
  const row = { id: '_SK_a', kind: 'system', created: 60, state: 'valid', parent: null, wraps: null, wrappedBy: null };
  const wraps = [{ region: 'us-west-2' }, { region: 'us-east-1' }];
  const rows = [
    { ...row, wraps },
    { ...row, wraps: [], state: 'revoked' },
    { ...row, wrappedBy: 'a transit key', state: 'expired' },
    { ...row, id: '_IK_b', kind: 'intermediate', parent: { id: '_SK_a', created: 0 } },
    { ...row, id: '_IK_b', kind: 'tombstone', created: 1, state: 'erased' },
    { ...row, id: 'erasures', kind: 'register', state: 'unreadable' },
    { ...row, id: 'x', kind: 'other', created: null, state: 'unreadable', unreadable: 'no key' },
  ];
  const revoked: unknown[] = [];
  const table: PageElement = keysView(rows, (one: unknown) => revoked.push(one));
  const made = '1970-01-01 00:01:00 UTC';
  expect([...table.querySelectorAll('tbody tr')].map((one) => texts('td', one))).toEqual([
    ['_SK_a', 'System Key', made, '✓ valid', 'KMS in us-west-2 and us-east-1', 'Revoke'],
    ['_SK_a', 'System Key', made, '✕ revoked', 'no region', ''],
    ['_SK_a', 'System Key', made, '⏱ expired', 'a transit key', 'Revoke'],
    ['_IK_b', 'Intermediate Key', made, '✓ valid', '_SK_a 1970-01-01 00:00:00 UTC', 'Revoke'],
    ['_IK_b', 'tombstone', '1970-01-01 00:00:01 UTC', '✕ erased', '', ''],
    ['erasures', 'register of erasures', made, '', '', ''],
    ['x', 'not a Keyfold key', '?', '? unreadable', 'no region', ''],
  ]);
  expect(table.querySelector('[title]')?.getAttribute('title')).toBe('no key');
  for (const button of table.querySelectorAll('button')) button.click();
  expect(revoked).toEqual([rows[0], rows[2], rows[3]]);
});

/** A call as the page receives it. */
function call(service: string, region: string | null, action: string, outcome = 'ok'): object {
  return { service, region, action, keyId: null, outcome };
}

/** What the page shows about a request with these calls. */
async function lastWith(
  calls: readonly object[],
  { ok = true, usedKeys = false, keyService = 'KMS' },
): Promise<PageElement[]> {
  const { lastView } = await import(join(FOLDER, 'last-view.js'));
  const asked = { path: '/p', body: '', status: 200, text: '', ms: 5, ok, calls };
  return lastView({ asked, usedKeys }, keyService) as PageElement[];
}

const READ = call('DynamoDB', null, 'GetItem');
const STORED = call('DynamoDB', null, 'PutItem');
const BAO = { keyService: 'OpenBao' };

it.for([
  ['Refused without a call to OpenBao or DynamoDB.', [], { ok: false, ...BAO }],
  ['No call: the keys were in memory.', [], { usedKeys: true }],
  ['No call: no field changed.', [], {}],
  ['Read key rows only: the System Key was in memory.', [READ], { usedKeys: true }],
  ['Read key rows only.', [READ], {}],
  ['us-west-2 failed, and no region answered.', [call('KMS', 'us-west-2', 'Decrypt', 'down')], {}],
  ['OpenBao failed, and nothing else answered.', [call('OpenBao', null, 'transit/decrypt/k', 'down')], BAO],
  [
    'Created a System Key, encrypted by OpenBao. Stored new keys, encrypted, in DynamoDB.',
    [call('OpenBao', null, 'transit/encrypt/k'), STORED],
    BAO,
  ],
  ['Stored new keys, encrypted, in DynamoDB.', [STORED], {}],
  ['OpenBao decrypted the System Key, which now stays in memory.', [call('OpenBao', null, 'transit/decrypt/k')], BAO],
  [
    'us-west-2 failed, us-east-1 answered: the request went on. Created a System Key, encrypted by KMS in each region that answered.',
    [call('KMS', 'us-west-2', 'GenerateDataKey', 'down'), call('KMS', 'us-east-1', 'GenerateDataKey')],
    {},
  ],
] as const)('the page explains the cost of a request: “%s”', async ([explained, calls, options]) => {
  const [, shown = null] = await lastWith(calls, options);
  expect([shown?.className, textOf(shown)]).toEqual(['why', explained]);
});

it('the page collapses a list of more than eight calls', async () => {
  for (const [length, isCollapsed] of [
    [8, false],
    [9, true],
  ] as const) {
    const shown = await lastWith(
      Array.from({ length }, () => READ),
      {},
    );
    const summaries = shown.flatMap((part) => texts('summary', part));
    expect(summaries.includes('The calls, in the order in which they ended')).toBe(isCollapsed);
    expect(shown.flatMap((part) => texts('li', part))).toHaveLength(length);
  }
});

it('the chain of keys on the page shows unknown keys, keys that do not work, and the transit key of OpenBao', async () => {
  const { chainView } = await import(join(FOLDER, 'chain-view.js'));
  const parent = { id: '_IK_b', created: 0 };
  const record = { parent, created: 60, data: { length: 29 } };
  const system = { id: '_SK_a', created: 0, state: 'expired', wraps: [{ region: 'west', arn: 'arn:key/1' }] };
  const intermediate = { ...parent, state: 'erased', parent: { id: '_SK_a', created: 0 } };
  const linksOf = (keys: readonly object[], keyService: string): string[] => {
    const regions = [
      { region: 'west', fault: {} },
      { region: 'east', fault: null },
    ];
    const chain: PageElement = chainView(record, { keys, keyService, regions });
    return texts('li.link', chain);
  };
  const made = 'made 1970-01-01 00:00:00 UTC, kept in DynamoDB;';
  const rest = [
    'Data Row Key this record alone made 1970-01-01 00:01:00 UTC, kept in the record; encrypted with the Intermediate Key',
    'Your data 1 byteencrypted with the Data Row Key, in the record',
  ];
  expect(linksOf([system, intermediate], 'KMS')).toEqual([
    'KMS keys one per region, independentwest✓ decrypts the System Key ✕ broken nowkey/1east✕ cannot decrypt the System Key yet',
    `System Key one per service and product ⏱ expired_SK_a${made} each region marked ✓ above can decrypt it alone`,
    `Intermediate Key one per partition ✕ erased_IK_b${made} encrypted with the System Key`,
    ...rest,
  ]);
  expect(linksOf([], 'KMS')).toEqual([
    'KMS keys one per region, independentwest? the System Key is unknown ✕ broken noweast? the System Key is unknown',
    'System Key one per service and product ? unknown',
    `Intermediate Key one per partition ? not in this table_IK_b${made} encrypted with the System Key`,
    ...rest,
  ]);
  const sealed = { ...system, wrappedBy: 'version 1 of a transit key' };
  expect(linksOf([sealed, intermediate], 'OpenBao').slice(0, 2)).toEqual([
    'Transit key in OpenBaoThe System Key is encrypted with version 1 of a transit key.',
    `System Key one per service and product ⏱ expired_SK_a${made} encrypted with the transit key`,
  ]);
  expect(linksOf([], 'OpenBao')[0]).toBe(
    'Transit key in OpenBaoThe System Key is encrypted with a key that is unknown.',
  );
});

it('the page has a confirmation question for each command', async () => {
  const { OPERATIONS } = await import(join(FOLDER, 'operate.js'));
  const questions = Object.entries(OPERATIONS as Record<string, { question: (partition: string) => object }>);
  expect(Object.fromEntries(questions.map(([id, { question }]) => [id, question('p')]))).toEqual({
    rotate: {
      title: 'Rotate the Intermediate Key of p?',
      text: 'This makes the next version of the Intermediate Key of p now, and revokes nothing. Old records still decrypt.',
      action: 'Rotate',
      harmless: true,
    },
    'rotate-system': {
      title: 'Rotate the System Key?',
      text: 'This makes the next version of the System Key now, and revokes nothing. Old records still decrypt.',
      action: 'Rotate',
      harmless: true,
    },
    erase: {
      title: 'Erase p?',
      text: 'This marks and revokes every key of p. Its records no longer decrypt, and nothing new is encrypted for it. You can cancel until the keys are deleted.',
      action: 'Erase',
    },
    'erase-cancel': {
      title: 'Cancel the erasure of p?',
      text: 'The records decrypt again. The old keys stay revoked, so the next encrypt makes a new key.',
      action: 'Cancel the erasure',
      harmless: true,
    },
    'erase-finish': {
      title: 'Delete the keys of p for good?',
      text: 'No record of the partition can ever be decrypted again. In production, the command refuses until the waiting time is over. Here, the page sets the clock of the command to that time.',
      action: 'Delete the keys',
    },
  });
});

describe('a text on the page', () => {
  it('is encrypted and decrypted, and the page shows the cost of each request', async () => {
    fill('plaintext', 'Grüße, 世界');
    expect(await press('Encrypt')).toMatch(/^Encrypted: \d KMS calls?, \d DynamoDB calls\.$/);
    expect(why()).toMatch(/Stored new keys, encrypted, in DynamoDB\.$/);
    expect(JSON.parse(byId('record').value)).toMatchObject({
      Key: { ParentKeyMeta: { KeyId: `_IK_${partition()}_local_keyfold` } },
    });
    expect(await press('Encrypt')).toBe('Encrypted: 0 KMS calls, 0 DynamoDB calls.');
    expect(why()).toBe('No call: the keys were in memory.');
    expect(doneSteps()).toEqual(['first', 'warm']);
    expect(await press('Decrypt')).toBe('Decrypted: 0 KMS calls, 0 DynamoDB calls.');
    expect([opened(), note()]).toEqual(['Grüße, 世界', 'The same as the plaintext, character for character.']);
    fill('plaintext', 'other');
    await press('Decrypt');
    expect(note()).toBe('Not the same as the plaintext on this page now.');
    expect(await press('Start cold')).toBe('Started cold: 0 KMS calls, 0 DynamoDB calls.');
    expect(why()).toBe('The process and the keys in its memory are gone. The next request starts a new process.');
    expect(await press('Decrypt')).toBe('Decrypted: 1 KMS call, 2 DynamoDB calls.');
    expect(why()).toBe('KMS decrypted the System Key, which now stays in memory.');
    expect(texts('li', byId('last'))).toEqual([
      `DynamoDBGetItem _IK_${partition()}_local_keyfold✓ ok`,
      'DynamoDBGetItem _SK_local_keyfold✓ ok',
      'KMS us-west-2Decrypt✓ ok',
    ]);
  });

  it('is also encrypted to a compact record, with a proof of its context', async () => {
    byId('compact').checked = true;
    await press('Encrypt');
    expect(byId('record').value).toMatch(/^kf1\.[\w-]+$/);
    fill('context', '{"id":"42"}');
    await press('Encrypt');
    expect(byId('record').value).toMatch(/^kf2\.[\w-]+$/);
    expect(await press('Decrypt')).toMatch(/^Decrypted/);
    fill('context', '');
    expect(await press('Decrypt')).toMatch(/^Context required/);
    expect(problem()).toMatch(/^422 ContextRequired: /);
  });

  it('is not sent if the context is not JSON or there is no record', async () => {
    fill('context', '{');
    await press('Encrypt');
    expect([byId('trouble').hidden, byId('trouble').textContent]).toEqual([false, 'The context is not JSON.']);
    fill('context', '');
    await press('Decrypt');
    expect(byId('trouble').textContent).toBe('There is no record or document to send.');
    await press('Encrypt');
    expect(byId('trouble').hidden).toBe(true);
  });

  it.for([
    ['two values for a name', '{"id":"42","id":"43"}'],
    ['a number', '{"id":12345678901234567890}'],
  ])('is not encrypted if the context has %s', async ([, context = '']) => {
    fill('context', context);
    for (const button of ['Encrypt', 'Encrypt fields']) {
      expect(await press(button)).toMatch(/^Invalid request/);
      expect(textOf(byId('last'))).toContain(context);
    }
    fill('context', '');
  });

  it('is not encrypted if the name of the partition is invalid: the page shows why, and no server is called', async () => {
    fill('partition', 'not a partition');
    expect(await press('Encrypt')).toBe('Invalid request: 0 KMS calls, 0 DynamoDB calls.');
    expect(problem()).toMatch(/^400 InvalidRequest: /);
    expect(why()).toBe('Refused without a call to KMS or DynamoDB.');
    expect(doneSteps()).toEqual([]);
  });

  it('that is not UTF-8 is shown as base64', async () => {
    const path = `/v1/partitions/${partition()}/encrypt`;
    const answer = await fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: '{"plaintext":"/w=="}',
    });
    fill('record', JSON.stringify(((await answer.json()) as { record: unknown }).record));
    await press('Decrypt');
    expect(opened()).toBe('1 bytes that are no text, in base64: /w==');
  });
});

describe('the fields of a document on the page', () => {
  beforeEach(() => choose('fields'));

  it('are encrypted and decrypted, and the document keeps all its digits', async () => {
    const document = '{ "id": 12345678901234567890, "rest": [98765432109876543210, 1.0, "]}"], "note": "a\\"b" }';
    fill('document', document);
    fill('paths', '$.id\n\n  $.note ');
    expect(await press('Encrypt fields')).toMatch(/^Fields encrypted/);
    expect(byId('sealed').value).toMatch(
      /^\{ "id": "kf1j\.[\w-]+", "rest": \[98765432109876543210, 1\.0, "\]\}"\], "note": "kf1j\./,
    );
    expect(texts('option', byId('pick'))).toEqual(['id', 'note']);
    expect(textOf(byId('bytes'))).toMatch(/^Formcompact, of a JSON value, .*as long as its JSON text/);
    expect([byId('pick-field').hidden, byId('text').hidden, byId('fields').hidden]).toEqual([false, true, false]);
    for (const button of ['Decrypt all', 'Decrypt the fields']) {
      expect(await press(button)).toBe('Fields decrypted: 0 KMS calls, 0 DynamoDB calls.');
      expect([opened(), why()]).toEqual([document, 'No call: the keys were in memory.']);
    }
  });

  it('are decrypted only with the context with which they were encrypted', async () => {
    fill('context', '{"id":"42"}');
    fill('document', '{"a":1}');
    fill('paths', '$.a');
    expect(await press('Encrypt fields')).toMatch(/^Fields encrypted/);
    expect(byId('sealed').value).toMatch(/^\{"a":"kf2j\./);
    for (const button of ['Decrypt all', 'Decrypt the fields']) {
      fill('context', '{"id":"42"}');
      expect(await press(button)).toMatch(/^Fields decrypted/);
      expect(opened()).toBe('{"a":1}');
      fill('context', '');
      expect(await press(button)).toMatch(/^Context required/);
    }
  });

  it('may be missing or already encrypted if the user ticks the options for this', async () => {
    fill('document', '{"a":1}');
    fill('paths', '$.a\n$.none');
    expect(await press('Encrypt fields')).toMatch(/^Field not found/);
    byId('allow-missing').checked = true;
    expect(await press('Encrypt fields')).toMatch(/^Fields encrypted/);
    const sealed = byId('sealed').value;
    fill('document', sealed);
    byId('skip-sealed').checked = true;
    expect(await press('Encrypt fields')).toMatch(/^Fields encrypted/);
    expect([byId('sealed').value, why()]).toEqual([sealed, 'No call: no field changed.']);
    fill('document', '{"a":1},"all":{');
    await press('Encrypt fields');
    expect(byId('trouble').textContent).toBe('The document is not JSON.');
  });
});

describe('the record on the page', () => {
  const FACTS =
    /^Formcompact, of bytes, \d+ bytes of textIntermediate Key_IK_\S+_local_keyfold, made \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTCData Row Keymade /;

  it('is explained byte by byte', async () => {
    fill('plaintext', '12345');
    fill('context', '{"id":"42"}');
    await press('Encrypt');
    const { Key, Data, Proof } = JSON.parse(byId('record').value) as {
      Key: { Key: string };
      Data: string;
      Proof: string;
    };
    expect(textOf(byId('bytes').querySelector('dl'))).toMatch(/^FormJSON, \d+ bytes of text/);
    expect(texts('h3', byId('bytes'))).toEqual([
      'Data Row Key encrypted with the Intermediate Key, 60 bytes',
      'Proof of the context, 32 bytes',
      'Your data encrypted with the Data Row Key, 33 bytes',
    ]);
    const hex = texts('code', byId('bytes')).map((text) => text.replaceAll(' ', ''));
    expect(hex.join('')).toBe(
      [Key.Key, Proof, Data].map((part) => Buffer.from(part, 'base64').toString('hex')).join(''),
    );
    expect(texts('span.row-name', byId('bytes'))).toEqual([
      'Ciphertext 32 bytes',
      'Tag 16 bytes',
      'Nonce 12 bytes',
      'Proof 32 bytes',
      'Ciphertext 5 bytes',
      'Tag 16 bytes',
      'Nonce 12 bytes',
    ]);
    byId('compact').checked = true;
    await press('Encrypt');
    expect(textOf(byId('bytes').querySelector('dl'))).toMatch(FACTS);
    expect(texts('h3', byId('bytes'))[0]).toMatch(/^After kf2\., in base64url which keys decrypt it, \d+ bytes$/);
    expect(texts('span.row-name', byId('bytes')).slice(0, 5)).toEqual([
      'Data Row Key made 6 bytes',
      'Intermediate Key made 6 bytes',
      'Length of its id 2 bytes',
      expect.stringMatching(/^Intermediate Key's id \d+ bytes$/),
      'Ciphertext 32 bytes',
    ]);
    const meanings = texts('span.row-why', byId('bytes'));
    const made = /^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC$/;
    expect(meanings).toEqual([
      expect.stringMatching(made),
      expect.stringMatching(made),
      String(`_IK_${partition()}_local_keyfold`.length),
      `_IK_${partition()}_local_keyfold`,
      'the key of this record alone',
      'proof that no bit was changed',
      'random, used once',
      'holds only for the context that the record was encrypted with',
      'as long as the plaintext',
      'proof that no bit was changed',
      'random, used once',
    ]);
    expect(texts('h3', byId('bytes')).slice(1)).toEqual([
      'Data Row Key encrypted with the Intermediate Key, 60 bytes',
      'Proof of the context, 32 bytes',
      'Your data encrypted with the Data Row Key, 33 bytes',
    ]);
  });

  it('shows the first 96 bytes of a long part, and says that an empty part is empty', async () => {
    fill('plaintext', '');
    await press('Encrypt');
    expect(texts('code', byId('bytes'))[3]).toBe('none: the plaintext was empty');
    fill('plaintext', 'x'.repeat(100));
    await press('Encrypt');
    const [, , , data = ''] = texts('code', byId('bytes'));
    expect(data).toMatch(/^(?:[\da-f]{8} ){24}… and 4 bytes more$/);
  });

  it.for([
    ['kf1.AAAA', 'This compact record ends too early.'],
    ['kf1.=', 'This record is not valid base64.'],
    ['{"Key":{}}', 'This JSON is not a Data Row Record.'],
    ['{', 'This is neither JSON nor a compact record.'],
  ] as const)('is not explained if the record is %s', ([record, fault]) => {
    fill('record', record);
    expect([textOf(byId('bytes')), textOf(byId('chain'))]).toEqual([fault, 'Encrypt something to see this.']);
  });

  it('has a chain of keys down to the KMS keys of both regions', async () => {
    fill('plaintext', '12345');
    await press('Encrypt');
    expect(texts('h3', byId('chain'))).toEqual([
      'KMS keys one per region, independent',
      'System Key one per service and product ✓ valid',
      'Intermediate Key one per partition ✓ valid',
      'Data Row Key this record alone',
      'Your data 5 bytes',
    ]);
    expect(byId('chain').textContent.match(/✓ decrypts the System Key/g)).toHaveLength(2);
    fill('record', byId('record').value.replace(/"Created": \d+/g, '"Created": 1'));
    expect(texts('h3', byId('chain'))[2]).toBe('Intermediate Key one per partition ? not in this table');
    expect(texts('h3', byId('chain'))[1]).toBe('System Key one per service and product ? unknown');
  });
});

describe('the buttons of the page', () => {
  it('copy the record, the answer and the request', async () => {
    fill('plaintext', "it's");
    await press('Encrypt');
    await press('Decrypt');
    for (const what of ['the record', 'the answer', 'the request as a curl command']) buttonOf(`Copy ${what}`).click();
    await waitFor(() => expect(copied).toHaveLength(3));
    expect(copied.slice(0, 2)).toEqual([byId('record').value, "it's"]);
    const body = `{"record":${byId('record').value}}`;
    const url = `${world.url}/v1/partitions/${partition()}/decrypt`;
    expect(copied[2]).toBe(`curl -X POST -H 'content-type: application/json' -d '${body}' '${url}'`);
    await waitFor(() => expect(buttonOf('Copied the record')).toBeDefined());
    vi.stubGlobal('navigator', { clipboard: { writeText: () => Promise.reject(new Error('denied')) } });
    buttonOf('Copied the answer').click();
    await waitFor(() => expect(buttonOf('The browser refused the answer')).toBeDefined());
  });

  it('run the steps of the tour, each of which encrypts first if it needs a record', async () => {
    await press('Lose a KMS region Break it, start cold, decrypt.');
    expect(byId('last-status').textContent).toBe('Decrypted: 2 KMS calls, 2 DynamoDB calls.');
    expect(why()).toMatch(/^us-west-2 failed, us-east-1 answered: the request went on\./);
    expect(doneSteps()).toEqual(['first', 'failover']);
    expect(textOf(byId('region-us-west-2'))).toMatch(
      /✕ Down: connections end unanswered.*unavailable at .*, tried last until/,
    );
    await press('Mend us-west-2');
    await waitFor(() => expect(buttonOf('Break us-west-2')).toBeDefined());
    await pressAndAnswer("Replace a tenant's key Revoke it, start cold, rewrap.", 'ask-yes');
    expect(byId('last-status').textContent).toMatch(/^Rewrapped/);
    expect(note()).toBe('The latest Intermediate Key now encrypts the Data Row Key. The payload is unchanged.');
    expect(doneSteps()).toEqual(['first', 'failover', 'rewrap']);
    expect(keyRows()).toEqual(['Intermediate Key ✓ valid', 'Intermediate Key ✕ revoked']);
    expect(await press('Rewrap')).toMatch(/^Nothing to rewrap/);
    expect(note()).toBe(
      'It already was under the latest Intermediate Key. Revoke that key and start cold: then there is a later one.',
    );
  });

  it.for([
    ['Down: connections end unanswered', 0, { kind: 'down' }],
    ['Hangs: it never answers', 1, { kind: 'hang' }],
    ['Slow: it answers 800 ms late', 2, { kind: 'latency', ms: 800 }],
    ['Throttles every call', 3, { kind: 'throttle', perSecond: 0 }],
    ['Fails inside, with 500', 4, { kind: 'error', name: 'KMSInternalException', status: 500 }],
    ['Says that its key is disabled', 5, { kind: 'error', name: 'DisabledException', status: 400 }],
    ['Denies access to its key', 6, { kind: 'error', name: 'AccessDeniedException', status: 400 }],
    ['Cuts off in mid-answer', 7, { kind: 'reset' }],
    ['Answers garbage', 8, { kind: 'garbage' }],
  ] as const)('break a region, which then shows "%s" until the region works again', async ([text, i, fault]) => {
    const shown = (): string => textOf(byId('region-us-east-1'));
    byId('how-us-east-1').value = String((i + 1) % 9);
    buttonOf('Break us-east-1').click();
    await waitFor(() => expect(shown()).toContain('✕'));
    byId('how-us-east-1').value = String(i);
    byId('how-us-east-1').dispatchEvent(new page.Event('change', { bubbles: true }));
    await waitFor(() => expect(shown()).toContain(`✕ ${text}`));
    expect(await (await fetch('/local/state')).json()).toMatchObject({ regions: [{ fault: null }, { fault }] });
    expect([...byId('region-us-east-1').classList]).toContain('broken');
    buttonOf('Mend us-east-1').click();
    await waitFor(() => expect(shown()).toContain('✓ Works'));
  });

  it('run the maintenance', async () => {
    await press('Encrypt');
    expect(await press('Run maintenance')).toMatch(/^Maintained: [1-9]\d* KMS calls/);
    expect(opened()).toContain('"opens": true');
    expect(why()).toBe('It lets each region decrypt each System Key, adds what is missing, and reports what it found.');
  });

  it('revoke a key only after the user has confirmed', async () => {
    await press('Encrypt');
    await pressAndAnswer(revokeLabel(), 'ask-no');
    expect(textOf(byId('ask-text'))).toMatch(
      /^_IK_\S+, created \d{4}-\d\d-\d\d \d\d:\d\d:00 UTC\. This cannot be undone\. The key still decrypts what it encrypted, but Keyfold creates another key to encrypt with\.$/,
    );
    expect([byId('ask-title').textContent, byId('ask-yes').textContent]).toEqual(['Revoke this key?', 'Revoke']);
    expect(keyRows()).toEqual(['Intermediate Key ✓ valid']);
    await pressAndAnswer(revokeLabel(), 'ask-yes');
    expect(byId('keys-status').textContent).toMatch(
      /^Ran keyfold keys revoke _IK_\S+ \d+ --yes\. _IK_\S+, created .* UTC, is revoked\. It still decrypts what it encrypted\. A running process encrypts with it until it reads the table again, within an hour\. Start cold to get a new key at once\.$/,
    );
    expect([keyRows(), revokeLabel()]).toEqual([['Intermediate Key ✕ revoked'], '']);
    // The button is gone, so the focus moves to the message. A screen reader then reads it.
    expect(page.document.activeElement?.id).toBe('keys-status');
  });

  it('rotate a key only after the user has confirmed, and then show that the record still decrypts', async () => {
    await press('Encrypt');
    await pressAndAnswer('Rotate the Intermediate Key', 'ask-no');
    expect([byId('ask-title').textContent, byId('ask-yes').className]).toEqual([
      `Rotate the Intermediate Key of ${partition()}?`,
      'primary',
    ]);
    expect(keyRows()).toEqual(['Intermediate Key ✓ valid']);
    expect(await pressAndAnswer('Rotate the Intermediate Key', 'ask-yes')).toMatch(/^Rotated: /);
    expect([why(), note()]).toEqual([
      `Ran keyfold keys rotate --partition ${partition()}`,
      'After a cold start, the last record still decrypts.',
    ]);
    expect(opened()).toMatch(
      /^_IK_\S+ has a new key, created \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\. The former key stays valid\.$/,
    );
    expect(keyRows()).toEqual(['Intermediate Key ✓ valid', 'Intermediate Key ✓ valid']);
    fill('record', '');
    expect(await pressAndAnswer('Rotate the System Key', 'ask-yes')).toMatch(/^Rotated: /);
    expect([why(), note()]).toEqual(['Ran keyfold keys rotate', 'The next request starts cold.']);
  });

  it('erase a partition in two confirmed steps, and cancel the erasure between them', async () => {
    const isErasing = (): boolean => !byId('erase-finish').hidden && !byId('erase-cancel').hidden;
    expect(await pressAndAnswer('Erase the partition', 'ask-yes')).toMatch(/^Not done/);
    expect([problem() === '', isErasing()]).toEqual([false, false]);
    await press('Encrypt');
    expect(await pressAndAnswer('Erase the partition', 'ask-yes')).toMatch(/^Keys marked/);
    expect(byId('ask-yes').className).toBe('danger');
    expect(why()).toBe(
      `Ran keyfold partitions erase ${partition()} --confirm ${partition()} --reason 'contract ended' --wait 7d`,
    );
    expect(note()).toMatch(/^After a cold start, the last record does not decrypt\. 410 PartitionErased: /);
    expect([keyRows(), isErasing()]).toEqual([['tombstone ✕ erased', 'Intermediate Key ✕ erased'], true]);
    expect(await pressAndAnswer('Cancel the erasure', 'ask-yes')).toMatch(/^Erasure cancelled/);
    expect([keyRows(), isErasing()]).toEqual([['Intermediate Key ✕ revoked'], false]);
    await pressAndAnswer('Erase the partition', 'ask-yes');
    expect(await pressAndAnswer('Delete the keys', 'ask-yes')).toMatch(/^Keys deleted/);
    expect([keyRows(), isErasing()]).toEqual([['tombstone ✕ erased'], false]);
  });
});

it('Ctrl+Enter in a field of the page presses the first button beside the field', async () => {
  const field = byId('plaintext');
  const enter = { key: 'Enter', bubbles: true };
  field.dispatchEvent(new page.KeyboardEvent('keydown', enter));
  expect(await settled()).toBe('No request yet. Press Encrypt.');
  field.dispatchEvent(new page.KeyboardEvent('keydown', { ...enter, ctrlKey: true }));
  expect(await settled()).toMatch(/^Encrypted/);
});

it.for([
  ['does not scroll to a result in the upper half of the window', 400, false],
  ['scrolls to a result in the lower half of the window', 401, true],
  ['scrolls to a result above the window', -1, true],
] as const)('the page %s', async ([, top, isScrolledTo]) => {
  const card = byId('last').closest('.card') as PageElement;
  let scrolls = 0;
  card.scrollIntoView = () => void (scrolls += 1);
  byId('last-status').getBoundingClientRect = () => ({ top });
  await press('Start cold');
  expect(scrolls).toBe(isScrolledTo ? 1 : 0);
});

it('the page throws an error with the reason if the server refuses to set a fault', async () => {
  const { setFault } = await import(join(FOLDER, 'api.js'));
  await expect(setFault('us-west-3', { kind: 'down' })).rejects.toThrow("Region 'us-west-3' has no key.");
});

it('while the page waits for a response, it lists the regions that hang', async () => {
  await press('Encrypt');
  for (const [region, fault] of [
    ['us-west-2', '1'],
    ['us-east-1', '0'],
  ] as const) {
    byId(`how-${region}`).value = fault;
    buttonOf(`Break ${region}`).click();
    await waitFor(() => expect(buttonOf(`Mend ${region}`)).toBeDefined());
  }
  await press('Start cold');
  buttonOf('Decrypt').click();
  await new Promise(setImmediate);
  expect(byId('busy-text').textContent).toBe('Waiting for an answer, 0 s. Regions that hang: us-west-2.');
  for (const region of ['us-west-2', 'us-east-1']) buttonOf(`Mend ${region}`).click();
  expect(await settled()).toMatch(/^Decrypted/);
});
