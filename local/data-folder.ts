import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { ClassicLevel } from 'classic-level';

/**
 * Makes a folder for data, and takes it for this process. The operating system holds the lock (LevelDB's), so it ends with the process,
 * however that ends.
 * @returns how to give the folder back
 * @throws Error if another process has it, or if something else has its name
 */
export async function takeDataFolder(folder: string): Promise<{ release: () => Promise<void> }> {
  await mkdir(folder, { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST' && error.code !== 'ENOTDIR') throw error;
    throw new Error(`--data must name a folder, and ${folder} is, or is in, a file`, { cause: error });
  });
  const lock = new ClassicLevel(join(folder, 'lock'));
  try {
    await lock.open();
  } catch (error) {
    const { code } = ((error as Error).cause ?? {}) as NodeJS.ErrnoException;
    if (code !== 'LEVEL_LOCKED') throw error;
    throw new Error(`${folder} is in use by another npm start: end that one, or give another folder to --data`, {
      cause: error,
    });
  }
  return { release: () => lock.close() };
}
