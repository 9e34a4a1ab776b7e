import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

/**
 * Finds the files that a handler's bundle loads before its first request: its entry and everything that it imports
 * statically.
 */
export async function loadedAtOnce(folder: string): Promise<string[]> {
  const found = new Set(['index.mjs']);
  // A loop over a Set also visits entries that are added during the loop.
  for (const file of found) {
    const text = await readFile(join(folder, file), 'utf8');
    for (const [, name = ''] of text.matchAll(/(?:from|import) ?"\.\/([\w.-]+)"/g)) found.add(name);
  }
  return [...found];
}
