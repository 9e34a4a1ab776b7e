import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The files that a handler's bundle loads before its first request: its entry, and what is imported from there on. */
export async function loadedAtOnce(folder: string): Promise<string[]> {
  const found = new Set(['index.mjs']);
  // A set goes on to what is added to it on the way.
  for (const file of found) {
    const text = await readFile(join(folder, file), 'utf8');
    for (const [, name = ''] of text.matchAll(/(?:from|import) ?"\.\/([\w.-]+)"/g)) found.add(name);
  }
  return [...found];
}
