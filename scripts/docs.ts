/**
 * Builds the documentation site: `npm run docs` writes the library's reference from the doc comments, and the site into
 * `.site/`. With `--check` it does not write the reference, and exits with 1 if the reference is not up to date.
 *
 * The first run installs the tools into `.peers/docs`, because they are larger than all other dependencies.
 */
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { installOnce, PEERS_FOLDER } from '../test/peers/peers-folder.ts';
import { BASE, relocate } from './docs/any-path.ts';
import { libraryPages } from './docs/library-pages.ts';
import { run } from './docs/run.ts';
import { outdated, write } from './docs/written-pages.ts';

const root = join(import.meta.dirname, '..');
const sources = join(root, 'scripts', 'site');
const tools = join(PEERS_FOLDER, 'docs');
const site = join(root, '.site');

await installOnce('docs', join(sources, 'package-lock.json'), async (folder) => {
  for (const file of ['package.json', 'package-lock.json']) await cp(join(sources, file), join(folder, file));
  await run('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], folder);
});
await copy(join(sources, '.vitepress'), join(tools, '.vitepress'));
await copy(join(sources, 'library.js'), join(tools, 'library.js'));

const pages = await libraryPages(root, tools);
if (process.argv.includes('--check')) {
  const names = await outdated(root, pages);
  for (const name of names) console.error(`${name} is not what the doc comments say: npm run docs writes it anew.`);
  if (names.length > 0) process.exit(1);
} else await write(root, pages);

await rm(site, { recursive: true, force: true });
// Copy the pages next to the tools, because Vite searches for a page's packages from the page's folder upwards.
await copy(join(root, 'docs'), join(tools, 'docs'));
const settings = { KEYFOLD_SITE: site, KEYFOLD_BASE: BASE };
await run(process.execPath, ['node_modules/vitepress/bin/vitepress.js', 'build', '.'], tools, settings);
await cp(join(root, 'docs', 'openapi.json'), join(site, 'openapi.json'));
await relocate(site);
console.log('The site is in .site/. Any file server shows it: python3 -m http.server --directory .site 8000');

async function copy(from: string, to: string): Promise<void> {
  await rm(to, { recursive: true, force: true });
  await cp(from, to, { recursive: true });
}
