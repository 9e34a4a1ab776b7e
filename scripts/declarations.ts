/**
 * The last step of `npm run build`: finishes the declarations that TypeScript has written to dist/. It gives their
 * imports the extension `.js`, which every version of TypeScript resolves. It removes declarations that no entry
 * imports.
 * @throws Error if a declaration imports a package, because users of Keyfold may not have it. The exception is the CDK,
 * which users of `keyfold/cdk` have.
 */
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const root = join(import.meta.dirname, '..');
const dist = join(root, 'dist');
const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
  exports: Readonly<Record<string, { readonly types: string }>>;
};

const reached = new Set<string>();
const pending = Object.values(exports).map(({ types }) => join(root, types));
for (let file = pending.pop(); file !== undefined; file = pending.pop()) {
  if (reached.has(file)) continue;
  reached.add(file);
  const text = await readFile(file, 'utf8');
  // The examples in doc comments may import packages.
  for (const [, specifier = ''] of text.replace(/\/\*\*.*?\*\//gs, '').matchAll(/\b(?:from|import)\b\(? ?'([^']+)'/g)) {
    if (specifier.startsWith('.')) pending.push(join(file, '..', specifier.replace(/\.ts$/, '.d.ts')));
    else if (!/^node:|^(?:aws-cdk-lib|constructs)(?:\/|$)/.test(specifier))
      throw new Error(`${file} imports ${specifier}`);
  }
  await writeFile(file, text.replaceAll(/(\b(?:from|import)\b\(? ?'\.[^']*)\.ts'/g, "$1.js'"));
}
const files = await readdir(dist, { recursive: true });
const unreached = files.filter((name) => name.endsWith('.d.ts') && !reached.has(join(dist, name)));
await Promise.all(unreached.map((name) => rm(join(dist, name))));
