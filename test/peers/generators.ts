import { execFile } from 'node:child_process';
import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installOnce, PEERS_FOLDER } from './peers-folder.ts';

const NAME = 'generators';

/** The packages of the generators that are on npm. */
export const GENERATOR_MODULES = join(PEERS_FOLDER, NAME, 'node_modules');

/** The programs that use the generated clients, and the files that compile them. */
export const CLIENT_SOURCES = join(import.meta.dirname, 'generated');

/** Installs the generators from npm, once. */
export async function installGenerators(): Promise<void> {
  const packages = join(CLIENT_SOURCES, 'package.json');
  await installOnce(NAME, packages, async (folder) => {
    await copyFile(packages, join(folder, 'package.json'));
    await promisify(execFile)('npm', ['install', '--ignore-scripts', '--no-audit', '--no-fund'], { cwd: folder });
  });
}
