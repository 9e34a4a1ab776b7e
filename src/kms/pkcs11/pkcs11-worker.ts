/** The thread in which the calls of a PKCS#11 library block. */
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { Pkcs11Driver } from './pkcs11-driver.ts';
import { Pkcs11Token, type TokenAnswer, type TokenCall, type TokenSettings } from './pkcs11-token.ts';

/** A call, as the main thread sends it. */
export interface CallMessage {
  readonly id: number;
  readonly call: TokenCall;
}

/** The answer to the call with this number. */
export interface AnswerMessage {
  readonly id: number;
  readonly answer: TokenAnswer;
}

const token = new Pkcs11Token(
  workerData as TokenSettings,
  () => createRequire(import.meta.url)('pkcs11js') as Pkcs11Driver,
);

parentPort?.on('message', ({ id, call }: CallMessage) => {
  const answer = token.answer(call);
  // This copies the bytes.
  parentPort?.postMessage({ id, answer } satisfies AnswerMessage);
  if (call.op === 'wrap') call.key.fill(0);
  if (answer.op === 'unwrapped') answer.key.fill(0);
});
