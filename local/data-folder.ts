import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';

/**
 * Creates the data folder and locks it for this process. LevelDB provides the lock. The operating system releases the
 * lock when the process ends, even if it is killed.
 * @returns `release`, which unlocks the folder
 * @throws Error if another process has locked the folder, or if a file is in its place
 */
export async function takeDataFolder(folder: string): Promise<{ release: () => Promise<void> }> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST' && error.code !== 'ENOTDIR') throw error;
    throw new Error(`--data must name a folder, but ${folder} is a file or inside a file`, { cause: error });
  });
  const lock = new ClassicLevel(join(folder, 'lock'));
  try {
    await lock.open();
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
    if (code !== 'LEVEL_LOCKED') throw error;
    throw new Error(`${folder} is in use by another npm start: end that process, or give --data another folder`, {
      cause: error,
    });
  }
  return { release: () => lock.close() };
}
