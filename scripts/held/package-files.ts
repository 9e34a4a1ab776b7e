import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HANDLERS } from '../handler-bundle.ts';

const dist = join(import.meta.dirname, '..', '..', 'dist');

/**
 * Lists the declarations that an entry of the package reaches, sorted and without comments and imports. So a type can
 * move to another file without changing the list.
 * @param entry a path in dist/
 */
export async function declarationsOf(entry: string): Promise<string[]> {
  const texts = new Map<string, string>();
  const read = async (path: string): Promise<void> => {
    if (texts.has(path)) return;
    const text = await readFile(path, 'utf8').catch(() => {
      throw new Error('dist/ has no declarations: run `npm run build` first.');
    });
    texts.set(path, text);
    for (const [, target = ''] of text.matchAll(/(?:from|import) '(\.[^']+)\.ts'/g)) {
      await read(join(dirname(path), `${target}.d.ts`));
    }
  };
  await read(join(dist, entry));
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
