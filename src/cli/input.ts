import { open, stat, type FileHandle } from 'node:fs/promises';
import { freeNow } from '../crypto/free-now.ts';
import { utf8Of } from '../crypto/utf8.ts';
import { KeyfoldError } from '../errors.ts';
import { MAX_LINE_BYTES } from '../input/line-limit.ts';
import type { CliDependencies } from './dependencies.ts';

/**
 * Reads the text of a file, or of standard input if the name is `-`.
 * @throws KeyfoldError `InvalidRequest` if there is no such file, if it is too long, or if it is not UTF-8
 */
export async function textOf(source: string, { stdin }: CliDependencies, maxBytes = MAX_LINE_BYTES): Promise<string> {
  const name = source === '-' ? 'Standard input' : `The file ${source}`;
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of await streamOf(source, stdin)) {
    sizeBytes += (chunk as Buffer).length;
    if (sizeBytes > maxBytes) throw new KeyfoldError('InvalidRequest', `${name} is longer than ${maxBytes} bytes.`);
    chunks.push(Buffer.from(chunk as Buffer));
  }
  const text = utf8Of(Buffer.concat(chunks));
  if (text !== undefined) return text;
  throw new KeyfoldError('InvalidRequest', `${name} is not UTF-8.`);
}

/** Opens a file, or standard input if the name is `-`. A chunk is valid only until the next one is read. */
async function streamOf(source: string, stdin: CliDependencies['stdin']): Promise<AsyncIterable<unknown>> {
  return source === '-' ? stdin : chunksOf(await open(source).catch(noSuchFile(source)), source);
}

/**
 * The size of a file in bytes. Undefined for standard input, for a pipe, and if there is no such file.
 */
export async function sizeOf(source: string): Promise<number | undefined> {
  const found = source === '-' ? undefined : await stat(source).catch(() => undefined);
  return found?.isFile() === true ? found.size : undefined;
}

const LINE_FEED = 0x0a;
const CHUNK_BYTES = 1_048_576;

/**
 * Reads the lines of a file, or of standard input if the name is `-`. Yields undefined for a line that does not fit
 * into a string, or that is not UTF-8.
 * @throws KeyfoldError `InvalidRequest` if there is no such file
 */
export async function linesOf(source: string, { stdin }: CliDependencies): Promise<AsyncIterable<string | undefined>> {
  return linesIn(await streamOf(source, stdin));
}

/**
 * Reads the bytes of a file. All chunks share one buffer, because a new buffer for each would cost more. So a chunk is
 * valid only until the next one is read.
 */
async function* chunksOf(file: FileHandle, name: string): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafeSlow(CHUNK_BYTES);
  try {
    for (;;) {
      const { bytesRead } = await file.read(buffer).catch(noSuchFile(name));
      if (bytesRead === 0) return;
      yield buffer.subarray(0, bytesRead);
    }
  } finally {
    await file.close();
  }
}

/**
 * Splits a stream into lines. It reads more only after the caller has consumed the lines. By contrast, `readline` reads
 * 1,024 lines ahead, which can be gigabytes of large records.
 */
export async function* linesIn(
  stream: AsyncIterable<unknown>,
  maxBytes = MAX_LINE_BYTES,
): AsyncGenerator<string | undefined> {
  let begun: Buffer[] = [];
  let begunBytes = 0;
  for await (const given of stream) {
    const chunk = given as Buffer;
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      yield begunBytes + end - start > maxBytes ? undefined : textOfParts(begun, chunk.subarray(start, end));
      begun = [];
      begunBytes = 0;
      start = end + 1;
    }
    begunBytes += chunk.length - start;
    // A line that is too long is discarded while it is read, so it takes no more memory than other lines.
    if (begunBytes > maxBytes) begun = [];
    else if (start < chunk.length) begun.push(Buffer.from(chunk.subarray(start)));
  }
  if (begunBytes > 0) yield begunBytes > maxBytes ? undefined : textOfParts(begun, Buffer.alloc(0));
}

/** Decodes a line from its parts, and frees the parts that were copied. Undefined if the line is not UTF-8. */
function textOfParts(copies: readonly Buffer[], last: Buffer): string | undefined {
  if (copies.length === 0) return utf8Of(last);
  const bytes = Buffer.concat([...copies, last]);
  const text = utf8Of(bytes);
  for (const one of [bytes, ...copies]) freeNow(one);
  return text;
}

function noSuchFile(source: string): (error: unknown) => never {
  return (error) => {
    const { code = 'unknown' } = error as NodeJS.ErrnoException;
    throw new KeyfoldError('InvalidRequest', `The file ${source} cannot be read: ${code}.`);
  };
}
