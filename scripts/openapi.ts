/**
 * Writes docs/openapi.json from the operations' schemas: `npm run openapi`. With `--check` it writes nothing, and exits
 * 1 where the file is not what it would write.
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
