/**
 * Makes a built VitePress site work at any path of any file server. VitePress supports only a fixed base, so the site
 * is built with {@link BASE}. Afterwards, pages refer to files by relative paths, and scripts compute the base in the
 * browser.
 */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';

/**
 * The placeholder for the site's base path. This string occurs nowhere else in the site, so that it can be replaced.
 */
export const BASE = '/base-of-the-site/';

const IN_BROWSER = 'window.__BASE__';
/** A string or a template literal that begins with the base. */
const LITERAL = new RegExp(`(["'\`])${BASE}([^"'\`]*)\\1`, 'g');

/** Rewrites all files of a site. @throws Error if a file still refers to the fixed base */
export async function relocate(site: string): Promise<void> {
  for (const name of await readdir(site, { recursive: true })) {
    if (!/\.(?:html|js|css)$/.test(name)) continue;
    const file = join(site, name);
    const text = await readFile(file, 'utf8');
    const rewritten = rewrite(name, text, `${relative(dirname(file), site) || '.'}/`);
    if (rewritten.replaceAll(REPLACING, '').includes(BASE)) throw new Error(`${name} refers to the fixed base`);
    if (rewritten !== text) await writeFile(file, rewritten);
  }
}

/** The expression that inserts the base into the search index, which is one large string. */
const REPLACING = `.replaceAll('${BASE}', ${IN_BROWSER})`;

function rewrite(name: string, text: string, toSite: string): string {
  if (name.endsWith('.js')) {
    if (!name.includes('localSearchIndex')) return text.replaceAll(LITERAL, `(${IN_BROWSER}+$1$2$1)`);
    return text.replace(/^const (\w+)=(.*);(?=export)/s, (_, variable: string, literal: string) =>
      [`const ${variable}=(${literal.replaceAll(BASE, '/@/')})`, `.replaceAll('/@/', ${IN_BROWSER});`].join(''),
    );
  }
  if (name.endsWith('.css')) return text.replaceAll(BASE, toSite);
  const base = `<script>${IN_BROWSER}=new URL('${toSite}',location.href).pathname</script>`;
  const data = `<script>window.__VP_SITE_DATA__.base=${IN_BROWSER}</script>`;
  // Make the links of the navigation absolute, because the router keeps them when it shows a page from another folder.
  const links = `<script>for(const a of document.querySelectorAll('a[href^="."]'))a.href=a.href</script>`;
  return text
    .replaceAll(`"${BASE}`, `"${toSite}`)
    .replaceAll(`\\"base\\":\\"${BASE}\\"`, '\\"base\\":\\"/\\"')
    .replace('<head>', `<head>${base}`)
    .replace('</body>', `${links}</body>`)
    .replace(/(<script[^>]*>window\.__VP_HASH_MAP__.*?<\/script>)/s, `$1${data}`);
}
