import { setTimeout as sleep } from 'node:timers/promises';
import { KeyfoldError, type DataRowRecord, type SessionFactory } from '../../src/index.ts';

const PAYLOAD = Buffer.from('payload');

/** Sends a prepared request of a process. Resolves to a record that must remain decryptable. */
export type Request = () => Promise<DataRowRecord>;

/** Makes a new process with a cold cache. */
type StartProcess = () => SessionFactory;

/** The requests that the fault matrices test. Each is prepared before the fault begins. */
export const REQUESTS: Readonly<Record<RequestName, (start: StartProcess) => Promise<Request>>> = {
  'encrypt new SK': async (start) => {
    const cold = start();
    return () => cold.session('p').encrypt(PAYLOAD);
  },
  'encrypt known SK': async (start) => {
    await start().session('other').encrypt(PAYLOAD);
    const cold = start();
    return () => cold.session('p').encrypt(PAYLOAD);
  },
  'decrypt cold': async (start) => {
    const record = await start().session('p').encrypt(PAYLOAD);
    return opening(start(), record);
  },
  'decrypt warm': async (start) => {
    const warm = start();
    return opening(warm, await warm.session('p').encrypt(PAYLOAD));
  },
};

export const REQUEST_NAMES = ['encrypt new SK', 'encrypt known SK', 'decrypt cold', 'decrypt warm'] as const;
export type RequestName = (typeof REQUEST_NAMES)[number];

/** How a request ended: with its record and `ok`, or with the code of its error. */
export interface Outcome {
  readonly code: string;
  readonly record: DataRowRecord | undefined;
}

/**
 * Sends a request, which must end within the given time. This time covers the request's own waits and a few seconds
 * more. So the test fails if the request hangs, but not if the machine is slow.
 * @throws any error other than a KeyfoldError, and Error if the request takes longer
 */
export async function outcomeOf(request: Request, boundMs: number): Promise<Outcome> {
  const over = new AbortController();
  const bound = sleep(boundMs, undefined, { signal: over.signal }).then(
    () => Promise.reject(new Error(`no answer within ${boundMs} ms`)),
    () => new Promise<never>(() => {}),
  );
  try {
    return { code: 'ok', record: await Promise.race([request(), bound]) };
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    return { code: error.code, record: undefined };
  } finally {
    over.abort();
  }
}

/** Decrypts a record in a process and checks its payload. */
export async function mustOpen(process: SessionFactory, record: DataRowRecord): Promise<void> {
  await opening(process, record)();
}

function opening(process: SessionFactory, record: DataRowRecord): Request {
  return async () => {
    const plaintext = await process.session('p').decrypt(record);
    if (!plaintext.equals(PAYLOAD)) throw new Error('a wrong plaintext');
    return record;
  };
}
