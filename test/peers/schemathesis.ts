import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pythonOf } from './install.ts';
import { end } from './processes.ts';

/** A request to make as it is. */
export type Request = readonly [operationId: string, partition: string, body: unknown];

/** What a round found. */
interface Round {
  /** Where an answer was not as the document says. */
  readonly failures: readonly string[];
  /** The codes of all that failed, items of batches too. */
  readonly codes: readonly string[];
}

/** Schemathesis in a process of its own, which it takes seconds to start. */
export interface Rounds {
  /** Makes the requests, and so many made-up ones for each operation. */
  readonly run: (requests: readonly Request[], generated: number) => Promise<Round>;
  readonly stop: () => Promise<void>;
}

/** The API's document. */
export const DOCUMENT = join(import.meta.dirname, '..', '..', 'docs', 'openapi.json');

/** Starts what holds an API against a document in rounds. */
export function startRounds(document: string, url: string): Rounds {
  const script = join(import.meta.dirname, 'schemathesis_peer.py');
  const child = spawn(pythonOf('schemathesis'), [script, document, url], { stdio: ['pipe', 'pipe', 'inherit'] });
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const endOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', endOnExit);
  return {
    run: async (requests, generated) => {
      child.stdin.write(`${JSON.stringify({ requests, generated })}\n`);
      const { value, done } = await lines.next();
      if (done === true) throw new Error('schemathesis has ended');
      return JSON.parse(value) as Round;
    },
    stop: async () => {
      process.off('exit', endOnExit);
      await end(child);
    },
  };
}

/**
 * Runs schemathesis's own command, with all its ways of making requests up.
 * @returns what it said, where it found anything
 */
export async function runSchemathesis(document: string, url: string): Promise<string> {
  const config = join(import.meta.dirname, 'schemathesis.toml');
  const args = ['-m', 'schemathesis.cli', '--config-file', config, 'run', document, '--url', url, '--no-color'];
  const child = execFile(pythonOf('schemathesis'), args, { cwd: join(import.meta.dirname, '..', '..', '.peers') });
  let said = '';
  child.stdout?.on('data', (chunk: string) => (said += chunk));
  child.stderr?.on('data', (chunk: string) => (said += chunk));
  const [code] = (await once(child, 'close')) as [number];
  return code === 0 ? '' : said;
}
