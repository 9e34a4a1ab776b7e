import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

/** The text of each generated page, keyed by its path in the repository. */
export type Pages = Readonly<Record<string, string>>;

/** The folder that contains only generated pages. */
export const LIBRARY_FOLDER = 'docs/reference/library';

/** Writes the pages, and removes all other pages from their folder. */
export async function write(root: string, pages: Pages): Promise<void> {
  await rm(join(root, LIBRARY_FOLDER), { recursive: true, force: true });
  for (const [name, text] of Object.entries(pages)) {
    await mkdir(dirname(join(root, name)), { recursive: true });
    await writeFile(join(root, name), text);
  }
}

/** The paths of pages that are missing, out of date or no longer generated. */
export async function outdated(root: string, pages: Pages): Promise<string[]> {
  const present = await readdir(join(root, LIBRARY_FOLDER)).catch(() => []);
  const names = new Set([...Object.keys(pages), ...present.map((name) => `${LIBRARY_FOLDER}/${name}`)]);
  const differs = await Promise.all(
    [...names].map(async (name) => (await readFile(join(root, name), 'utf8').catch(() => undefined)) !== pages[name]),
  );
  return [...names].filter((_, index) => differs[index]);
}
