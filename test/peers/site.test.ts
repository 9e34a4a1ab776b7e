/**
 * Tests the documentation site in a real browser. A file server serves it under a path that is not known when the site
 * is built.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join } from 'node:path';
import { promisify } from 'node:util';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { launchBrowser } from './browser.ts';
import { PEERS_FOLDER } from './peers-folder.ts';

const ROOT = join(import.meta.dirname, '..', '..');
const SITE = join(ROOT, '.site');
const PREFIX = '/some/path/';
const TYPES: Readonly<Record<string, string>> = {
  '.css': 'text/css',
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.svg': 'image/svg+xml',
};

let server: Server;
let browser: Browser;
let base: string;
/** The browser's errors, and the requests that fail or go to another server. */
let complaints: string[] = [];

beforeAll(async () => {
  if (!existsSync(SITE)) await promisify(execFile)(process.execPath, ['scripts/docs.ts', '--check'], { cwd: ROOT });
  server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '', 'http://localhost');
    const name = pathname.startsWith(PREFIX) ? pathname.slice(PREFIX.length).replace(/^$|(?<=\/)$/, 'index.html') : '-';
    void readFile(join(SITE, decodeURIComponent(name))).then(
      (file) => response.writeHead(200, { 'content-type': TYPES[extname(name)] ?? 'text/plain' }).end(file),
      () => response.writeHead(404).end(),
    );
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}${PREFIX}`;
  browser = await launchBrowser();
}, 600_000);
afterAll(async () => {
  await browser.close();
  server.close();
});
afterEach(() => {
  expect(complaints).toEqual([]);
});

async function open(path: string, width = 1280, colorScheme: 'light' | 'dark' = 'light'): Promise<Page> {
  const page = await browser.newPage({ viewport: { width, height: 900 }, colorScheme });
  complaints = [];
  page.on('console', (message) => message.type() === 'error' && complaints.push(message.text()));
  page.on('pageerror', (error) => complaints.push(error.message));
  page.on('response', (response) => response.status() >= 400 && complaints.push(response.url()));
  page.on('request', (request) => /^(?:data:|blob:)/.test(request.url()) || noteForeign(request.url()));
  await page.goto(`${base}${path}`, { waitUntil: 'networkidle' });
  return page;
}

function noteForeign(url: string): void {
  if (!url.startsWith(base)) complaints.push(`${url} is not of the site`);
}

const CASES = [390, 1280].flatMap((width) => (['light', 'dark'] as const).map((scheme) => ({ width, scheme })));

describe.for(CASES)('the site with a width of $width pixels and the $scheme color scheme', ({ width, scheme }) => {
  it.for([
    ['home page', ''],
    ['configuration page', 'reference/configuration.html'],
    ['list of runbooks', 'runbooks/'],
    ['library reference', 'reference/library/keyfold.html'],
  ] as const)('shows the %s without a horizontal scroll bar', async ([, path]) => {
    const page = await open(path, width, scheme);
    expect(await page.evaluate('document.documentElement.scrollWidth - innerWidth')).toBeLessThanOrEqual(0);
    expect(await page.locator('html.dark').count()).toBe(scheme === 'dark' ? 1 : 0);
    await page.close();
  });

  it('draws the diagrams on a page', async () => {
    const page = await open('explanation/how-it-works.html', width, scheme);
    await page.locator('.diagram svg').first().waitFor();
    // Wait for all diagrams, because the browser draws one after the other.
    await expect.poll(() => page.locator('.diagram pre').count(), { timeout: 20_000 }).toBe(0);
    await page.screenshot({ path: join(PEERS_FOLDER, 'screenshots', `site-${width}-${scheme}.png`) });
    await page.close();
  });
});

it("the site's search finds a page, and links work from one folder to another", async () => {
  const page = await open('reference/http.html');
  await page.getByRole('button', { name: 'Search' }).first().click();
  await page.locator('.VPLocalSearchBox input').fill('revoke');
  await page.locator('.VPLocalSearchBox .result').first().waitFor();
  await page.keyboard.press('Enter');
  await page.waitForURL(/\/some\/path\/[\w-]+\/[\w-]+\.html/);
  await page.locator('.VPSidebar a[href$="metrics.html"]').click();
  await page.waitForURL(`${base}reference/metrics.html`);
  await page.locator('.VPSidebar a[href$="how-it-works.html"]').click();
  await page.waitForURL(`${base}explanation/how-it-works.html`);
  await page.locator('h1', { hasText: 'How it works' }).waitFor();
  expect(await page.title()).toBe('How it works | Keyfold');
  await page.close();
});
