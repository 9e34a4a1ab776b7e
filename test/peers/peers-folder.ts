import { createHash } from 'node:crypto';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The folder of the installed peers. It is not committed. */
export const PEERS_FOLDER = join(import.meta.dirname, '..', '..', '.peers');

/**
 * Installs a peer into a subfolder, unless it was installed there from the same description. An interrupted
 * installation is repeated.
 */
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
