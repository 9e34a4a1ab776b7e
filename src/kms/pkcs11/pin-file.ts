import { readFile } from 'node:fs/promises';

/** Reads the PIN from a file at each login. White space at either end, such as a line feed, is not part of the PIN. */
export function pinIn(file: string): () => Promise<string> {
  return async () => (await readFile(file, 'utf8')).trim();
}
