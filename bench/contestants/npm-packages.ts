import { execFile } from 'node:child_process';
import { copyFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installOnce, PEERS_FOLDER } from '../../test/peers/peers-folder.ts';

const NAME = 'contestants';
const PACKAGES = join(import.meta.dirname, 'packages.json');

/**
 * Installs the contestants from npm, unless they are installed already. Call this in the parent process, because the
 * processes of contestants get no registry settings.
 */
export async function installNpmContestants(): Promise<void> {
  await installOnce(NAME, PACKAGES, async (folder) => {
    await copyFile(PACKAGES, join(folder, 'package.json'));
    await promisify(execFile)('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder });
  });
}

/** Loads a package that {@link installNpmContestants} installed. */
export const requireNpmContestant = createRequire(join(PEERS_FOLDER, NAME, 'package.json'));
