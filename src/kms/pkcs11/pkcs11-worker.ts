/** The thread that calls a PKCS#11 library, because these calls block. */
import { createRequire } from 'node:module';
import { parentPort, workerData } from 'node:worker_threads';
import type { Pkcs11Driver } from './pkcs11-driver.ts';
import { Pkcs11Library } from './pkcs11-library.ts';
import { Pkcs11Token, type TokenAnswer, type TokenCall, type TokenSettings } from './pkcs11-token.ts';

/** A call to a token, as the main thread sends it. */
export interface CallMessage {
  readonly settings: TokenSettings;
  readonly call: TokenCall;
}

const library = new Pkcs11Library(
  workerData as string,
  () => createRequire(import.meta.url)('pkcs11js') as Pkcs11Driver,
);
/** The tokens, keyed by their settings. */
const tokens = new Map<string, Pkcs11Token>();

function tokenOf(settings: TokenSettings): Pkcs11Token {
  const name = JSON.stringify(settings);
  const token = tokens.get(name) ?? new Pkcs11Token(settings, library);
  tokens.set(name, token);
  return token;
}

parentPort?.on('message', ({ settings, call }: CallMessage) => {
  const answer = tokenOf(settings).answer(call);
  // `postMessage` copies the bytes, so zero the originals.
  parentPort?.postMessage(answer satisfies TokenAnswer);
  if (call.op === 'wrap') call.key.fill(0);
  if (answer.op === 'unwrapped') answer.key.fill(0);
});
