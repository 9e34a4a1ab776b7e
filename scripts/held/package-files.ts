import { readdir, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { HANDLERS } from '../handler-bundle.ts';

const dist = join(import.meta.dirname, '..', '..', 'dist');

/**
 * The declarations that an entry of the package reaches, sorted and without comments and imports. So it makes no
 * difference if a type moves to another file.
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

/** The files of each function's zip, taken from its folder in dist/handlers. Hashes in file names are omitted. */
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
