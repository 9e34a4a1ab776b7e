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
 * Nothing from elsewhere, nothing inline, and no text ever becomes markup or a script: with `require-trusted-types-for` a
 * browser refuses `innerHTML` itself.
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

/** Which file of the page a path asks for; undefined where it asks for none. */
export function pageFileOf(url: string): string | undefined {
  return url === '/' ? 'index.html' : PATH.exec(url)?.[1];
}

/** Answers with a file of the page, read afresh, so that an edit is seen at the next reload. */
export async function sendPageFile(name: string, response: ServerResponse): Promise<void> {
  const content = await readFile(join(FOLDER, name)).catch(() => undefined);
  if (content === undefined) {
    response.writeHead(404, { 'content-type': 'text/plain' }).end('There is no such file.\n');
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
