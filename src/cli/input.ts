import { open, readFile } from 'node:fs/promises';
import { KeyfoldError } from '../errors.ts';
import type { CliDependencies } from './dependencies.ts';

/** The text of a file, or of standard input for `-`. @throws KeyfoldError `InvalidRequest` if there is no such file */
export async function textOf(source: string, { stdin }: CliDependencies): Promise<string> {
  if (source !== '-') return readFile(source, 'utf8').catch(noSuchFile(source));
  const chunks: Uint8Array[] = [];
  for await (const chunk of stdin) chunks.push(chunk as Uint8Array);
  return Buffer.concat(chunks).toString('utf8');
}

const LINE_FEED = 0x0a;
const CHUNK_BYTES = 262_144;

/** The lines of a file, or of standard input for `-`. @throws KeyfoldError `InvalidRequest` if there is no such file */
export async function linesOf(source: string, { stdin }: CliDependencies): Promise<AsyncIterable<string>> {
  if (source === '-') return linesIn(stdin);
  const file = await open(source).catch(noSuchFile(source));
  return linesIn(file.createReadStream({ highWaterMark: CHUNK_BYTES }));
}

/**
 * Splits a stream into lines, and reads on only when the caller has taken them. `readline` reads 1,024 lines ahead,
 * which can be gigabytes of large records.
 */
async function* linesIn(stream: AsyncIterable<unknown>): AsyncGenerator<string> {
  let begun: Buffer[] = [];
  for await (const given of stream) {
    const chunk = given as Buffer;
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      const last = chunk.subarray(start, end);
      yield (begun.length === 0 ? last : Buffer.concat([...begun, last])).toString();
      begun = [];
      start = end + 1;
    }
    if (start < chunk.length) begun.push(chunk.subarray(start));
  }
  if (begun.length > 0) yield Buffer.concat(begun).toString();
}

function noSuchFile(source: string): (error: unknown) => never {
  return (error) => {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new KeyfoldError('InvalidRequest', `The file ${source} cannot be read: ${code}.`);
  };
}
