import { execFile } from 'node:child_process';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { installOnce, PEERS_FOLDER } from '../peers-folder.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..', '..');

/** A project that uses the package. It contains test programs, and its `node_modules` contains the tools they need. */
export const PROJECT = join(PEERS_FOLDER, 'package');

/** The versions of Node on which the package must run, besides the one that runs the tests. */
export const NODES = ['20.19.6', '22.23.5', '24.22.3'] as const;

const NPM_INSTALL = ['install', '--no-audit', '--no-fund', '--ignore-scripts'];

/** Installs the tools that check the package, once: compilers, bundlers, linters and versions of Node. */
async function installTools(): Promise<void> {
  const list = join(import.meta.dirname, 'tools.json');
  await installOnce('package', list, async (folder) => {
    const tools = JSON.parse(await readFile(list, 'utf8')) as object;
    const binary = `node-${process.platform}-${process.arch}`;
    const nodes = NODES.map((version) => [`node-${version}`, `npm:${binary}@${version}`] as const);
    const dependencies = { ...tools, ...Object.fromEntries(nodes) };
    await writeFile(join(folder, 'package.json'), JSON.stringify({ private: true, type: 'module', dependencies }));
    await run('npm', NPM_INSTALL, { cwd: folder });
  });
}

/**
 * Builds and packs the package, and installs it next to the tools.
 * @returns the path of the tarball
 */
export async function installPackage(): Promise<string> {
  await installTools();
  await run('npm', ['run', '--silent', 'build'], { cwd: root });
  const packed = await run('npm', ['pack', '--silent', '--pack-destination', PROJECT], { cwd: root });
  const tarball = join(PROJECT, packed.stdout.trim().split('\n').at(-1) ?? '');
  const installed = join(PROJECT, 'node_modules', 'keyfold');
  await rm(installed, { recursive: true, force: true });
  await mkdir(installed, { recursive: true });
  await run('tar', ['-xzf', tarball, '--strip-components=1', '-C', installed]);
  return tarball;
}

/** The path of a file in a tool's package. */
export function toolFile(tool: string, file: string): string {
  return join(PROJECT, 'node_modules', tool, file);
}
