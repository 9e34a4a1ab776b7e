import { setTimeout as sleep } from 'node:timers/promises';
import { KeyfoldError, type DataRowRecord, type SessionFactory } from '../../src/index.ts';

const PAYLOAD = Buffer.from('payload');

/** A request of a process, ready to be made. It resolves to a record that must open ever after. */
export type Request = () => Promise<DataRowRecord>;

/** Makes a process of its own, with a cold cache. */
type StartProcess = () => SessionFactory;

/** The requests that a fault can meet, each made ready while all is well. */
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

/** What became of a request: its record, and `ok` or the error's code. */
export interface Outcome {
  readonly code: string;
  readonly record: DataRowRecord | undefined;
}

/**
 * Makes a request, which must be over within so long. That is a bound, not a measurement: it is the sum of what the
 * request may wait for and seconds of slack, so that a hang is found and a slow machine is not.
 * @throws what is no KeyfoldError, and Error at the bound
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

/** Opens a record in a process and sees that it holds what was sealed. */
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
