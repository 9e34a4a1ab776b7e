import { createInterface } from 'node:readline';
import type { Readable } from 'node:stream';
import { escapeHidden } from '../src/input/hidden-characters.ts';

/** What happened to a request. */
export interface AnsweredRequest {
  /** What was requested, such as `POST /v1/partitions/tenant-1/encrypt`. */
  readonly what: string;
  /** A status and the code of an error, such as `422 RecordUnreadable`. */
  readonly outcome: string;
  readonly ms: number;
}

/** Writes one line for a request: `10:22:08  POST /v1/partitions/tenant-1/encrypt  200  12 ms`. */
export function logRequest({ what, outcome, ms }: AnsweredRequest): void {
  const time = new Date().toLocaleTimeString('en-GB');
  console.log(escapeHidden(`${time}  ${what}  ${outcome}  ${Math.round(ms)} ms`));
}

/**
 * Copies the lines of a function's output that are not JSON, such as Node's warnings. Drops the function's logs and
 * metrics.
 */
export function copyPlainLines(from: Readable, to: NodeJS.WritableStream): void {
  createInterface({ input: from }).on('line', (line) => {
    if (!line.startsWith('{')) to.write(`${line}\n`);
  });
}
