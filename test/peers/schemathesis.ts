import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { pythonOf } from './install.ts';
import { end } from './processes.ts';

/** A request that is sent unchanged. */
export type Request = readonly [operationId: string, partition: string, body: unknown];

/** The findings of a round. */
interface Round {
  /** The responses that contradict the document. */
  readonly failures: readonly string[];
  /** The codes of all failures, including failures of batch items. */
  readonly codes: readonly string[];
}

/** A schemathesis process. It stays alive between rounds, because it takes seconds to start. */
export interface Rounds {
  /** Sends the given requests, and this number of generated requests per operation. */
  readonly run: (requests: readonly Request[], generated: number) => Promise<Round>;
  readonly stop: () => Promise<void>;
}

/** The OpenAPI document. */
export const DOCUMENT = join(import.meta.dirname, '..', '..', 'docs', 'openapi.json');

/** Starts a process that checks an API against a document in rounds. */
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
 * Runs the schemathesis command with all its generators.
 * @returns the output of the command if it found a problem
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
