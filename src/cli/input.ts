import { open, readFile } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import { KeyfoldError } from '../errors.ts';
import type { CliDependencies } from './dependencies.ts';

/** The text of a file, or of standard input for `-`. @throws KeyfoldError `InvalidRequest` if there is no such file */
export async function textOf(source: string, { stdin }: CliDependencies): Promise<string> {
  if (source !== '-') return readFile(source, 'utf8').catch(noSuchFile(source));
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString('utf8');
}

/** The lines of a file, or of standard input for `-`. @throws KeyfoldError `InvalidRequest` if there is no such file */
export async function linesOf(source: string, { stdin }: CliDependencies): Promise<AsyncIterable<string>> {
  if (source === '-') return createInterface({ input: stdin, crlfDelay: Number.POSITIVE_INFINITY });
  const file = await open(source).catch(noSuchFile(source));
  return file.readLines();
}

function noSuchFile(source: string): (error: unknown) => never {
  return (error) => {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new KeyfoldError('InvalidRequest', `The file ${source} cannot be read: ${code}.`);
  };
}
