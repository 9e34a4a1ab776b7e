import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HANDLERS } from '../handler-bundle.ts';

const root = join(import.meta.dirname, '..', '..');
const dist = join(root, 'dist');

/** Lists the declarations of each entry of the package, by the name of the file that records them. */
export async function packageTypes(): Promise<Record<string, string[]>> {
  const { name, exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    name: string;
    exports: Record<string, { types: string }>;
  };
  const parts = Object.entries(exports).map(async ([entry, { types }]) => [
    `types-${join(name, entry).replaceAll('/', '-')}.d.ts`,
    await declarationsOf(join(root, types)),
  ]);
  return Object.fromEntries(await Promise.all(parts)) as Record<string, string[]>;
}

/**
 * Lists the declarations that an entry of the package reaches, sorted and without comments and imports. So a type can
 * move to another file without changing the list.
 * @param entry the path of the entry's declarations
 */
async function declarationsOf(entry: string): Promise<string[]> {
  const texts = new Map<string, string>();
  const read = async (path: string): Promise<void> => {
    if (texts.has(path)) return;
    const text = await readFile(path, 'utf8').catch(() => {
      throw new Error('dist/ has no declarations: run `npm run build` first.');
    });
    texts.set(path, text);
    for (const [, target = ''] of text.matchAll(/\b(?:from|import)\b\(? ?'(\.[^']*)\.js'/g)) {
      await read(join(dirname(path), `${target}.d.ts`));
    }
  };
  await read(entry);
  const declarations = [...texts.values()].flatMap((text) =>
    text
      .replace(/\/\*[^]*?\*\/\s*/g, '')
      .replace(/^import .*;\n/gm, '')
      .split(/\n(?=export |declare )/),
  );
  return declarations
    .map((text) => text.replace(/ from '[^']*'/, '').trim())
    .filter((text) => text !== '' && text !== 'export {};')
    .toSorted();
}

/**
 * Lists the files of each function's zip, taken from the function's folder in dist/handlers. The list omits hashes in
 * file names.
 */
export async function zipFiles(): Promise<string[]> {
  const files = await Promise.all(
    HANDLERS.map(async (name) =>
      (await readdir(join(dist, 'handlers', name))).map(
        (file) => `${name}/${file.replace(/-[A-Z0-9]{8}\./, '-HASH.')}`,
      ),
    ),
  );
  return files.flat().toSorted();
}
