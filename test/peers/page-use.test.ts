/** Usability tests of the page that `npm start` serves, in a real browser. */
import type { Browser, Locator, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startLocalProcess, stopLocalProcess, type LocalProcess } from '../support/local-process.ts';
import { launchBrowser } from './browser.ts';
import { PageUnderTest } from './page-under-test.ts';

let world: LocalProcess;
let browser: Browser;
let underTest: PageUnderTest;
let page: Page;

beforeAll(async () => {
  browser = await launchBrowser();
});
afterAll(() => browser.close());

beforeEach(async () => {
  world = await startLocalProcess();
  underTest = await PageUnderTest.open(browser, world.url);
  ({ page } = underTest);
});
afterEach(async () => {
  try {
    await page.context().close();
  } finally {
    // Stop the local world even if the page did not open.
    await stopLocalProcess(world);
  }
  expect(underTest.complaints).toEqual([]);
});

/** Presses a button in a step of the tour. */
async function step(name: RegExp): Promise<void> {
  await page.locator('#tour').getByRole('button', { name }).click();
}

/** Whether an element is completely in view. */
async function isInView(selector: string): Promise<boolean> {
  const box = await page.locator(selector).boundingBox();
  return box !== null && box.y >= 0 && box.y + box.height <= 800;
}

async function isDone(name: RegExp): Promise<boolean> {
  const classes = await page.locator('#tour li').filter({ hasText: name }).getAttribute('class');
  return classes?.includes('done') === true;
}

it('the local page first says what Keyfold is', async () => {
  const text = await page.locator('body').innerText();
  expect(text.replace(/^Skip[^\n]*/, '').trim()).toMatch(
    /^Keyfold\s+Keyfold encrypts data for multi-tenant services on AWS: each tenant has its own keys, /,
  );
});

it('the local page shows a result and its cost without scrolling at 1280 by 800 pixels', async () => {
  await underTest.press('Encrypt', /^Encrypted: [1-9]/);
  expect(await page.locator('.calls li').count()).toBeGreaterThan(4);
  for (const part of ['#record', '#last-status', '.tally', '.why', '.calls'])
    expect([part, await isInView(part)]).toEqual([part, true]);
  await underTest.press('Decrypt', /^Decrypted/);
  for (const part of ['#last-status', '.tally', '.why', '#opened'])
    expect([part, await isInView(part)]).toEqual([part, true]);
  await page.getByLabel('Fields of a JSON document').check();
  await underTest.press('Encrypt fields', /^Fields encrypted/);
  await underTest.press('Decrypt all', /^Fields decrypted/);
  for (const part of ['#last-status', '.tally', '.why', '#opened'])
    expect([part, await isInView(part)]).toEqual([part, true]);
  expect(await page.evaluate('scrollY')).toBe(0);
});

it('the local page scrolls to the result on a narrow screen', async () => {
  await page.setViewportSize({ width: 390, height: 800 });
  await underTest.press('Encrypt', /^Encrypted/);
  for (const part of ['#last-status', '.tally', '.why']) expect([part, await isInView(part)]).toEqual([part, true]);
});

describe('each step on the local page', () => {
  it('runs with one click on its text', async () => {
    await page.getByLabel('Fields of a JSON document').check();
    await step(/^Encrypt Creates/);
    expect(await underTest.said(/^Encrypted/)).toBe('Encrypted: 2 KMS calls, 4 DynamoDB calls.');
    expect([await isDone(/Creates the keys/), await isDone(/again/)]).toEqual([true, false]);
    await step(/again/);
    expect(await underTest.said(/: 0 KMS/)).toBe('Encrypted: 0 KMS calls, 0 DynamoDB calls.');
    expect(await isDone(/again/)).toBe(true);
    await step(/Lose a KMS region/);
    expect(await underTest.said(/^Decrypted/)).toBe('Decrypted: 2 KMS calls, 2 DynamoDB calls.');
    expect(await isDone(/Lose a KMS region/)).toBe(true);
    await step(/Replace a tenant's key/);
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    expect(await underTest.said(/^Rewrapped/)).toMatch(/^Rewrapped/);
    expect(await isDone(/Replace a tenant's key/)).toBe(true);
  });

  it('encrypts first if it needs a record that does not exist yet', async () => {
    await step(/Lose a KMS region/);
    await underTest.said(/^Decrypted/);
    expect(await page.locator('#opened').innerText()).toBe('4111 1111 1111 1111');
    await page.reload();
    await step(/Replace a tenant's key/);
    await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
    await underTest.said(/^Rewrapped/);
  });
});

it('the local page shows a pointer cursor only over controls, and rounded borders only around cards and controls', async () => {
  await underTest.press('Encrypt', /^Encrypted/);
  const idle = await page.evaluate<string[]>(`
    [...document.querySelectorAll('body *')].filter((element) => {
      const { cursor, borderTopWidth, borderTopLeftRadius, display } = getComputedStyle(element);
      const looks = cursor === 'pointer' || (borderTopWidth !== '0px' && borderTopLeftRadius !== '0px');
      const reacts = element.closest('button, a, label, summary, select, input, textarea, dialog');
      return display !== 'none' && looks && !reacts && !element.matches('.card, fieldset, .spinner, .link');
    }).map((element) => element.outerHTML.slice(0, 80))`);
  expect(idle).toEqual([]);
});

it('the local page says "encrypt" and "decrypt" in every state, never "seal" or "open"', async () => {
  const texts: string[] = [];
  const read = async (): Promise<void> => {
    texts.push(await page.locator('body').innerText());
    texts.push(
      ...(await page
        .locator('[placeholder]')
        .evaluateAll((all) => all.map((one) => one.getAttribute('placeholder') ?? ''))),
    );
  };
  await read();
  await underTest.press('Encrypt', /^Encrypted/);
  await read();
  await underTest.press('Decrypt', /^Decrypted/);
  await read();
  await underTest.press('Rewrap', /^Nothing to rewrap/);
  await read();
  await page.getByLabel('Fields of a JSON document').check();
  await underTest.press('Encrypt fields', /^Fields encrypted/);
  await underTest.press('Decrypt all', /^Fields decrypted/);
  await read();
  await page.getByRole('button', { name: /^Revoke _IK/ }).click();
  await read();
  await page.getByRole('dialog').getByRole('button', { name: 'Revoke' }).click();
  await page.locator('#keys-status').filter({ hasText: 'is revoked' }).waitFor();
  await read();
  const foreign = texts.flatMap(
    (text) => text.replaceAll('OpenAPI', '').match(/\b(?:un)?(?:seal|open)(?:s|ed|ing)?\b/gi) ?? [],
  );
  expect(foreign).toEqual([]);
});

const why = (): Promise<string> => page.locator('.why').innerText();

describe('the explanation of a result on the local page', () => {
  it('after a request that needs no key, does not mention keys in memory', async () => {
    await underTest.press('Encrypt', /^Encrypted/);
    await page.getByLabel('Partition').fill('not a partition');
    await underTest.press('Encrypt', /^Invalid request/);
    expect(await why()).toBe('Refused without a call to KMS or DynamoDB.');
    await page.getByLabel('Partition').fill('tenant-1');
    await page.getByLabel('Fields of a JSON document').check();
    await page.getByLabel('Fields, one JSONPath per line').fill('$.none');
    await page.getByLabel('allow missing fields').check();
    expect(await underTest.press('Encrypt fields', /^Fields encrypted/)).toMatch(/: 0 KMS calls, 0 DynamoDB calls/);
    expect(await why()).toBe('No call: no field changed.');
    await underTest.press('Decrypt all', /^Fields decrypted/);
    expect(await why()).toBe('No call: no field changed.');
    await page.getByLabel('Fields of a JSON document').waitFor();
    expect(await isDone(/again/)).toBe(false);
    underTest.complaints.length = 0;
  });

  it('after a warm request, says that the keys were in memory', async () => {
    await underTest.press('Encrypt', /^Encrypted/);
    await underTest.press('Decrypt', /^Decrypted/);
    expect(await why()).toBe('No call: the keys were in memory.');
  });
});

it('the local page shows that it is busy while regions hang, and lets the user repair the regions', async () => {
  await underTest.press('Encrypt', /^Encrypted/);
  for (const region of ['us-west-2', 'us-east-1']) {
    await page.getByLabel(`How ${region} breaks`).selectOption('Hangs');
    await page.getByRole('button', { name: `Break ${region}` }).click();
    await page.getByRole('button', { name: `Mend ${region}` }).waitFor();
  }
  await underTest.press('Start cold', /^Started cold/);
  expect(await page.locator('#busy').isVisible()).toBe(false);
  await page.getByRole('button', { name: 'Decrypt', exact: true }).click();
  const busy = page.locator('#busy').filter({ visible: true });
  await busy.waitFor();
  expect(await busy.innerText()).toMatch(/Waiting for an answer, \d+ s\. Regions that hang: us-west-2 and us-east-1\./);
  for (const region of ['us-west-2', 'us-east-1']) {
    await page.getByRole('button', { name: `Mend ${region}` }).click();
    await page.getByRole('button', { name: `Break ${region}` }).waitFor();
  }
  expect(await page.locator('body').getAttribute('class')).toContain('busy');
  await page
    .locator('#last-status')
    .filter({ hasText: /^Decrypted/ })
    .waitFor();
  await underTest.settled();
  expect(await page.locator('#busy').isVisible()).toBe(false);
});

it('the local page copies the record, the document, the response and the request to the clipboard', async () => {
  await page.context().grantPermissions(['clipboard-read', 'clipboard-write']);
  const copied = async (what: string): Promise<string> => {
    const button = page.getByRole('button', { name: `Copy ${what}` });
    await button.click();
    await page.getByRole('button', { name: `Copied ${what}` }).waitFor();
    return page.evaluate<string>('navigator.clipboard.readText()');
  };
  await page.getByLabel('Plaintext', { exact: true }).fill("it's");
  await underTest.press('Encrypt', /^Encrypted/);
  expect(await copied('the record')).toBe(await page.getByLabel('Encrypted record').inputValue());
  await underTest.press('Decrypt', /^Decrypted/);
  expect(await copied('the answer')).toBe("it's");
  await page.getByText('The HTTP request and its answer').click();
  const curl = await copied('the request as a curl command');
  expect(curl).toMatch(
    /^curl -X POST -H 'content-type: application\/json' -d '\{"record":.*\}' 'http:\/\/127\.0\.0\.1:\d+\/v1\/partitions\/tenant-1\/decrypt'$/s,
  );
  await page.getByLabel('Fields of a JSON document').check();
  await underTest.press('Encrypt fields', /^Fields encrypted/);
  expect(await copied('the document')).toContain('kf1j.');
});

it('the local page asks for confirmation before it revokes a key', async () => {
  await underTest.press('Encrypt', /^Encrypted/);
  const revoke = page.getByRole('button', { name: /^Revoke _IK/ });
  const dialog = page.getByRole('dialog', { name: 'Revoke this key?' });
  for (const decline of [
    () => dialog.getByRole('button', { name: 'Cancel' }).click(),
    () => page.keyboard.press('Escape'),
  ]) {
    await revoke.click();
    expect(await dialog.innerText()).toMatch(/_IK_tenant-1_local_keyfold, created .*cannot be undone/s);
    await decline();
    await dialog.waitFor({ state: 'hidden' });
    const { keys } = (await (await fetch(`${world.url}/local/state`)).json()) as { keys: { state: string }[] };
    expect(keys.map(({ state }) => state)).toEqual(['valid', 'valid']);
  }
  await revoke.click();
  await dialog.getByRole('button', { name: 'Revoke' }).click();
  await page.locator('#keys-status').filter({ hasText: 'is revoked' }).waitFor();
});

/** Presses a button, and then the button `action` in the page's dialog. Returns what the page says about the record. */
async function operate(name: string, action: string, outcome: RegExp): Promise<string> {
  await page.getByRole('button', { name, exact: true }).click();
  await page.getByRole('dialog').getByRole('button', { name: action, exact: true }).click();
  await underTest.said(outcome);
  return page.locator('.result .note').innerText();
}

function cellOf(row: Locator, label: string): Promise<string> {
  return row.locator(`[data-label="${label}"]`).innerText();
}

/** The kind and state of each row in the page's key table. */
async function keyRows(): Promise<string[]> {
  const rows = await page.locator('.keys tbody tr').all();
  return Promise.all(rows.map(async (row) => `${await cellOf(row, 'Kind')} ${await cellOf(row, 'State')}`.trim()));
}

it('the local page asks for confirmation before it rotates a key, and then shows that the record still decrypts', async () => {
  await underTest.press('Encrypt', /^Encrypted/);
  await page.getByRole('button', { name: 'Rotate the Intermediate Key' }).click();
  expect(await page.getByRole('dialog').innerText()).toContain('revokes nothing');
  await page.keyboard.press('Escape');
  expect(await keyRows()).toEqual(['System Key ✓ valid', 'Intermediate Key ✓ valid']);
  expect(await operate('Rotate the Intermediate Key', 'Rotate', /^Rotated/)).toBe(
    'After a cold start, the last record still decrypts.',
  );
  expect(await why()).toBe('Ran keyfold keys rotate --partition tenant-1');
  expect(await page.locator('#opened').innerText()).toMatch(/^_IK_tenant-1_local_keyfold has a new key, created /);
  expect(await keyRows()).toEqual(['System Key ✓ valid', 'Intermediate Key ✓ valid', 'Intermediate Key ✓ valid']);
  expect(await underTest.press('Rewrap', /^Rewrapped/)).toMatch(/^Rewrapped/);
});

it('the local page asks for confirmation before each step of an erasure: to erase, to cancel, and to delete the keys', async () => {
  await underTest.press('Encrypt', /^Encrypted/);
  expect(await page.getByRole('button', { name: 'Delete the keys' }).isVisible()).toBe(false);
  await page.getByRole('button', { name: 'Erase the partition' }).click();
  expect(await page.getByRole('dialog', { name: 'Erase tenant-1?' }).innerText()).toContain('no longer decrypt');
  await page.keyboard.press('Escape');
  expect(await keyRows()).toEqual(['System Key ✓ valid', 'Intermediate Key ✓ valid']);

  const erased = /^After a cold start, the last record does not decrypt\. 410 PartitionErased: /;
  expect(await operate('Erase the partition', 'Erase', /^Keys marked/)).toMatch(erased);
  expect(await page.locator('#opened').innerText()).toMatch(/^Marked 1 rows\. --finish may delete them from /);
  const marked = ['System Key ✓ valid', 'tombstone ✕ erased', 'Intermediate Key ✕ erased', 'register of erasures'];
  expect(await keyRows()).toEqual(marked);
  expect(await page.locator('#chain').innerText()).toContain('✕ erased');
  expect(await operate('Cancel the erasure', 'Cancel the erasure', /^Erasure cancelled/)).toBe(
    'After a cold start, the last record still decrypts.',
  );
  expect(await keyRows()).toEqual(['System Key ✓ valid', 'Intermediate Key ✕ revoked']);
  await operate('Erase the partition', 'Erase', /^Keys marked/);
  expect(await operate('Delete the keys', 'Delete the keys', /^Keys deleted/)).toMatch(erased);
  expect(await keyRows()).toEqual(['System Key ✓ valid', 'tombstone ✕ erased', 'register of erasures']);
  expect(await page.getByRole('button', { name: 'Delete the keys' }).isVisible()).toBe(false);
  // The browser itself logs every error status.
  expect(underTest.complaints.splice(0).every((complaint) => complaint.includes('410'))).toBe(true);
});

it('the local page says why a command was refused', async () => {
  await page.getByRole('button', { name: 'Erase the partition' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Erase', exact: true }).click();
  await underTest.said(/^Not done/);
  expect(await page.locator('.problem').innerText()).toMatch(/no System Key|no key rows/);
});

it('the local page links only to pages on this machine', async () => {
  const links = await page.locator('a[href^="/"]').evaluateAll((all) => all.map((link) => link.getAttribute('href')));
  expect(links.length).toBeGreaterThan(1);
  for (const link of links) expect([link, (await fetch(world.url + link)).status]).toEqual([link, 200]);
});
