import { readFile, writeFile } from 'node:fs/promises';

/**
 * Replaces the text of a document between `<!-- NAME -->` and `<!-- /NAME -->`.
 * @throws Error if the document lacks these markers
 */
export async function writeGeneratedBlock(file: string, name: string, markdown: string): Promise<void> {
  const text = await readFile(file, 'utf8');
  const begin = `<!-- ${name} -->`;
  const end = `<!-- /${name} -->`;
  const [before, rest] = text.split(begin);
  const [, after] = rest?.split(end) ?? [];
  if (before === undefined || after === undefined) throw new Error(`${file} has no place between ${begin} and ${end}`);
  await writeFile(file, `${before}${begin}\n\n${markdown.trim()}\n\n${end}${after}`);
}
