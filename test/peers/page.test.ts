/** Tests in a real browser the page that `npm start` serves. */
import { join } from 'node:path';
import axe from 'axe-core';
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startLocalProcess, stopLocalProcess, type LocalProcess } from '../support/local-process.ts';
import { launchBrowser } from './browser.ts';
import { PageUnderTest } from './page-under-test.ts';
import { PEERS_FOLDER } from './peers-folder.ts';

let world: LocalProcess;
let browser: Browser;
let underTest: PageUnderTest;
let page: Page;
/** The errors in the browser's console. */
let complaints: string[];

beforeAll(async () => {
  [world, browser] = await Promise.all([startLocalProcess(), launchBrowser()]);
});
afterAll(async () => {
  await stopLocalProcess(world);
  await browser.close();
});

beforeEach(() => open(1280, 'light'));
afterEach(async () => {
  await page.context().close();
  expect(complaints).toEqual([]);
});

async function open(width: number, scheme: 'light' | 'dark'): Promise<void> {
  underTest = await PageUnderTest.open(browser, world.url, width, scheme);
  ({ page, complaints } = underTest);
}

const press = (name: string, outcome: RegExp): Promise<string> => underTest.press(name, outcome);
const said = (outcome: RegExp): Promise<string> => underTest.said(outcome);
const settled = (): Promise<void> => underTest.settled();
const clear = (): Locator => page.getByLabel('Plaintext', { exact: true });
const opened = async (): Promise<string | null> => page.locator('#opened').textContent();
const calls = async (): Promise<string[]> => page.locator('.calls li').allInnerTexts();

/** Presses Tab until the element with this name has the focus. */
async function tabTo(name: string): Promise<void> {
  const named = `[document.activeElement?.labels?.[0]?.textContent, document.activeElement?.getAttribute('aria-label'),
    document.activeElement?.textContent].filter(Boolean).map((text) => text.trim())`;
  for (let presses = 0; presses < 60; presses += 1) {
    await page.keyboard.press('Tab');
    if ((await page.evaluate<string[]>(named)).includes(name)) return;
  }
  throw new Error(`Tab does not reach ${name}`);
}

/** Encrypts for a new partition, and marks its keys for deletion. */
async function eraseTenantOf(name: string): Promise<void> {
  await page.getByLabel('Partition').fill(name);
  await page.getByLabel('Text', { exact: true }).check();
  await press('Encrypt', /^Encrypted/);
  await page.getByRole('button', { name: 'Erase the partition' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Erase', exact: true }).click();
  await said(/^Keys marked/);
  // The browser itself logs every error status.
  expect(complaints.splice(0)).toEqual([expect.stringContaining('410')]);
}

/** The accessibility violations that axe finds on the page, such as missing labels and low contrast. */
async function faults(): Promise<string[]> {
  await page.evaluate(axe.source);
  const { violations } = await page.evaluate<axe.AxeResults>('axe.run()');
  return violations.flatMap(({ id, nodes }) =>
    nodes.map(({ html, failureSummary }) => `${id}: ${html} ${failureSummary}`),
  );
}

describe('a text on the local page', () => {
  it('is encrypted and decrypted, and the page shows that a warm request costs nothing', async () => {
    await clear().fill('Grüße, 世界 🗝');
    await press('Encrypt', /^Encrypted/);
    expect(await page.getByLabel('Encrypted record').inputValue()).toContain('_IK_tenant-1_local_keyfold');
    expect(await press('Decrypt', /^Decrypted/)).toBe('Decrypted: 0 KMS calls, 0 DynamoDB calls.');
    expect(await opened()).toBe('Grüße, 世界 🗝');
    expect(await calls()).toEqual([]);
  });

  it('is never interpreted as HTML', async () => {
    const markup = '<img src=x onerror="alert(1)"><script>alert(2)</script>';
    await clear().fill(markup);
    await press('Encrypt', /^Encrypted/);
    await press('Decrypt', /^Decrypted/);
    expect(await opened()).toBe(markup);
    expect(await page.locator('main img, main script').count()).toBe(0);
  });

  it('does not decrypt if the record was changed or if another partition is entered', async () => {
    await press('Encrypt', /^Encrypted/);
    const box = page.getByLabel('Encrypted record');
    const record = await box.inputValue();
    await box.fill(record.replace(/("Data": ".{5})(.)/, (_, start, one) => `${start}${one === 'A' ? 'B' : 'A'}`));
    await press('Decrypt', /^Record unreadable/);
    await box.fill(record);
    await press('Decrypt', /^Decrypted/);
    await page.getByLabel('Partition').fill('tenant-2');
    await press('Decrypt', /^Record unreadable/);
    expect(await page.locator('.problem').innerText()).toMatch(/^422 RecordUnreadable/);
    // The browser itself logs every error status.
    expect(complaints.splice(0)).toEqual([expect.stringContaining('422'), expect.stringContaining('422')]);
  });

  it('is rewrapped under a new key after its key is revoked and the process restarts', async () => {
    await page.getByLabel('as a compact string').check();
    await press('Encrypt', /^Encrypted/);
    const before = await page.getByLabel('Encrypted record').inputValue();
    expect(before).toMatch(/^kf1\./);
    const row = page.getByRole('row').filter({ hasText: '_IK_tenant-1' }).filter({ hasText: 'valid' });
    await row.getByRole('button').click();
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await page.locator('#keys-status').filter({ hasText: 'is revoked' }).waitFor();
    await settled();
    expect(await page.locator('#chain').innerText()).toContain('✕ revoked');
    await press('Start cold', /^Started cold/);
    await press('Rewrap', /^Rewrapped/);
    expect(await page.getByLabel('Encrypted record').inputValue()).not.toBe(before);
    await press('Decrypt', /^Decrypted/);
    expect(await opened()).toBe('4111 1111 1111 1111');
    expect(await page.locator('#tour .done').allInnerTexts()).toContainEqual(
      expect.stringMatching(/Replace a tenant's key[^]*Done/),
    );
  });
});

describe('a context on the local page', () => {
  it('binds a record and the fields of a document, which then decrypt only with that context', async () => {
    await page.getByLabel('Context (optional)').fill('{"table":"users","id":"42"}');
    await page.getByLabel('as a compact string').check();
    await press('Encrypt', /^Encrypted/);
    expect(await page.getByLabel('Encrypted record').inputValue()).toMatch(/^kf2\./);
    expect(await page.locator('#bytes').innerText()).toContain('Proof');
    await press('Decrypt', /^Decrypted/);
    await page.getByLabel('Fields of a JSON document').check();
    await press('Encrypt fields', /^Fields encrypted/);
    expect(await page.getByLabel('Document with encrypted fields').inputValue()).toContain('"kf2j.');
    await press('Decrypt all', /^Fields decrypted/);
    await page.getByLabel('Context (optional)').fill('');
    await page.getByRole('button', { name: 'Decrypt all' }).click();
    await page.locator('.problem').waitFor();
    expect(await page.locator('.problem').innerText()).toMatch(/^422 ContextRequired/);
    expect(complaints.splice(0)).toEqual([expect.stringContaining('422')]);
  });
});

describe('the fields of a document on the local page', () => {
  beforeEach(() => page.getByLabel('Fields of a JSON document').check());

  it('decrypt without a change to any digit in the document', async () => {
    const document = '{ "id": 12345678901234567890, "rest": [98765432109876543210, 1.0, -0], "a\\u0062": null }';
    await page.getByLabel('Document', { exact: true }).fill(document);
    await page.getByLabel('Fields, one JSONPath per line').fill('$.id\n\n  $.ab ');
    await press('Encrypt fields', /^Fields encrypted/);
    const sealed = await page.getByLabel('Document with encrypted fields').inputValue();
    expect(sealed).toMatch(/^\{ "id": "kf1j\.[\w-]+", "rest": \[98765432109876543210, 1.0, -0\], "a\\u0062": "kf1j\./);
    for (const button of ['Decrypt all', 'Decrypt the fields']) {
      await press('Encrypt fields', /^Fields encrypted/);
      await press(button, /^Fields decrypted/);
      expect(await opened()).toBe(document);
    }
  });

  it('are explained byte by byte', async () => {
    await press('Encrypt fields', /^Fields encrypted/);
    expect(await page.getByLabel('Which encrypted field').locator('option').allInnerTexts()).toEqual([
      'order',
      'card',
      'note',
    ]);
    await page.getByLabel('Which encrypted field').selectOption('card');
    expect(await page.locator('.blob h3').allInnerTexts()).toEqual([
      'After kf1j., in base64url which keys decrypt it, 40 bytes',
      'Data Row Key encrypted with the Intermediate Key, 60 bytes',
      'Your data encrypted with the Data Row Key, 49 bytes',
    ]);
  });

  it('are not sent if the document is not JSON', async () => {
    await page.getByLabel('Document', { exact: true }).fill('{"a":1},"all":{');
    await page.getByRole('button', { name: 'Encrypt fields' }).click();
    expect(await page.getByRole('alert').filter({ visible: true }).innerText()).toBe('The document is not JSON.');
  });
});

describe('the parts of a record on the local page', () => {
  it('are explained byte by byte, down to the KMS keys that wrap the System Key', async () => {
    await clear().fill('12345');
    await press('Encrypt', /^Encrypted/);
    const record = JSON.parse(await page.getByLabel('Encrypted record').inputValue()) as { Data: string };
    const [, payload] = [0, 1].map((i) => page.locator('.blob').nth(i));
    expect(await payload?.locator('.row-name').allInnerTexts()).toEqual([
      'Ciphertext 5 bytes',
      'Tag 16 bytes',
      'Nonce 12 bytes',
    ]);
    const hex = (await payload?.locator('code').allInnerTexts())?.join('').replaceAll(' ', '');
    expect(hex).toBe(Buffer.from(record.Data, 'base64').toString('hex'));
    const chain = await page.locator('#chain').innerText();
    for (const part of ['us-west-2', 'us-east-1', '_SK_local_keyfold', '_IK_tenant-1_local_keyfold', '5 bytes']) {
      expect(chain).toContain(part);
    }
    expect(chain.match(/✓ decrypts the System Key/g)).toHaveLength(2);
  });
});

describe('a KMS region that fails', () => {
  it('makes a cold decrypt use the next region, as the call journal on the page shows', async () => {
    await press('Encrypt', /^Encrypted/);
    await page.getByRole('button', { name: 'Break us-west-2' }).click();
    await page.getByRole('button', { name: 'Mend us-west-2' }).waitFor();
    await press('Start cold', /^Started cold/);
    expect(await press('Decrypt', /^Decrypted/)).toBe('Decrypted: 2 KMS calls, 2 DynamoDB calls.');
    expect(await opened()).toBe('4111 1111 1111 1111');
    expect((await calls()).slice(2).map((call) => call.replaceAll(/\s+/g, ' '))).toEqual([
      'KMS us-west-2 Decrypt ✕ down',
      'KMS us-east-1 Decrypt ✓ ok',
    ]);
    expect(await page.locator('.why').innerText()).toContain('us-west-2 failed, us-east-1 answered');
    expect(await page.locator('#region-us-west-2').innerText()).toMatch(/unavailable at .*, tried last until/);
    await page.getByRole('button', { name: 'Mend us-west-2' }).click();
    await page.getByRole('button', { name: 'Break us-west-2' }).waitFor();
    expect(await press('Run maintenance', /^Maintained/)).toMatch(/[1-9]\d* KMS calls/);
    expect(await opened()).toContain('"opens": true');
  });
});

describe('a user with only a keyboard', () => {
  it('can skip to the form, encrypt, disable a region, start a cold process, and decrypt', async () => {
    await tabTo('Skip to encrypt and decrypt');
    await page.keyboard.press('Enter');
    await tabTo('Partition');
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('tenant-7');
    await tabTo('Plaintext');
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type('typed');
    await page.keyboard.press('ControlOrMeta+Enter');
    await said(/^Encrypted/);
    await tabTo('Break us-east-1');
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Mend us-east-1' }).waitFor();
    await page.keyboard.press('Space');
    await page.getByRole('button', { name: 'Break us-east-1' }).waitFor();
    await tabTo('Start cold');
    await page.keyboard.press('Enter');
    await said(/^Started cold/);
    await clear().focus();
    await tabTo('Decrypt');
    expect(await page.evaluate('getComputedStyle(document.activeElement).outlineStyle')).toBe('solid');
    await page.keyboard.press('Enter');
    await said(/^Decrypted/);
    expect(await opened()).toBe('typed');
  });
});

describe.each([
  [1280, 'light'],
  [1280, 'dark'],
  [360, 'light'],
  [360, 'dark'],
] as const)('the page at %i pixels in %s mode', (width, scheme) => {
  it('has no accessibility problem that axe finds, and does not scroll sideways', async () => {
    await page.context().close();
    await open(width, scheme);
    const ground = await page.evaluate<string>('getComputedStyle(document.body).backgroundColor');
    expect(ground).toBe(scheme === 'light' ? 'rgb(244, 245, 243)' : 'rgb(16, 20, 22)');
    const states: [string, () => Promise<unknown>][] = [
      ['new', async () => {}],
      ['broken', () => page.getByRole('button', { name: 'Break us-east-1' }).click()],
      ['encrypted', () => press('Encrypt', /^Encrypted/)],
      ['cold', () => press('Start cold', /^Started cold/)],
      ['decrypted', () => press('Decrypt', /^Decrypted/)],
      ['fields', () => page.getByLabel('Fields of a JSON document').check()],
      ['sealed', () => press('Encrypt fields', /^Fields encrypted/)],
      ['mended', () => page.getByRole('button', { name: 'Mend us-east-1' }).click()],
      ['marked', () => eraseTenantOf(`${width}-${scheme}`)],
    ];
    for (const [state, reach] of states) {
      await reach();
      await settled();
      expect([state, await faults()]).toEqual([state, []]);
      expect(await page.evaluate<number>('document.documentElement.scrollWidth')).toBe(width);
      const path = join(PEERS_FOLDER, 'screenshots', `${width}-${scheme}-${state}.png`);
      await page.screenshot({ path, fullPage: true });
    }
  });
});
