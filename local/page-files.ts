import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ServerResponse } from 'node:http';

const FOLDER = join(import.meta.dirname, 'page');
const PATH = /^\/page\/([a-z-]+\.(?:js|css|svg))$/;
const TYPES: Readonly<Record<string, string>> = {
  html: 'text/html; charset=utf-8',
  js: 'text/javascript; charset=utf-8',
  css: 'text/css; charset=utf-8',
  svg: 'image/svg+xml',
};

/**
 * Allows files of this server only, without inline scripts and styles. `require-trusted-types-for` makes the browser
 * refuse `innerHTML`, so text can never become markup.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "img-src 'self'",
  "connect-src 'self'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'",
].join('; ');

/** The file for a URL path, relative to the folder of the page. Undefined if the page has no such file. */
export function pageFileOf(url: string): string | undefined {
  return url === '/' ? 'index.html' : PATH.exec(url)?.[1];
}

/** Sends a file of the page. The file is read from disk each time, so that a reload shows edits. */
export async function sendPageFile(name: string, response: ServerResponse): Promise<void> {
  const content = await readFile(join(FOLDER, name)).catch(() => undefined);
  if (content === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('The file does not exist.\n');
    return;
  }
  const headers = {
    'content-type': TYPES[name.replace(/^.*\./, '')] ?? 'application/octet-stream',
    'content-security-policy': CONTENT_SECURITY_POLICY,
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    'referrer-policy': 'no-referrer',
    'x-content-type-options': 'nosniff',
    'cache-control': 'no-store',
  };
  response.writeHead(200, headers).end(content);
}
