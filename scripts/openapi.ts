/**
 * Writes docs/openapi.json from the schemas of the operations: `npm run openapi`. With `--check` it writes nothing, and
 * exits with 1 if the file is not up to date.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { openApiDocument } from './openapi/document.ts';

const file = join(import.meta.dirname, '..', 'docs', 'openapi.json');
const text = `${JSON.stringify(openApiDocument(), null, 2)}\n`;

if (!process.argv.includes('--check')) await writeFile(file, text);
else if ((await readFile(file, 'utf8').catch(() => '')) !== text) {
  console.error('docs/openapi.json is not what the schemas say: npm run openapi writes it anew.');
  process.exitCode = 1;
}
