import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the peers are. Not committed. */
export const PEERS_FOLDER = join(import.meta.dirname, '..', '..', '.peers');

/** Installs into a folder of its own unless it was, from the same description; what was half done is done again. */
export async function installOnce(
  name: string,
  description: string,
  install: (folder: string) => Promise<void>,
): Promise<void> {
  const folder = join(PEERS_FOLDER, name);
  const stamp = join(folder, '.installed');
  const wanted = createHash('sha256')
    .update(await readFile(description))
    .digest('hex');
  if ((await readFile(stamp, 'utf8').catch(() => '')) === wanted) return;
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await install(folder);
  await writeFile(stamp, wanted);
}
