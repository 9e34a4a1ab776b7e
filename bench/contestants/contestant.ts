import type { RemoteTask, Task } from '../compare.ts';

/** What can be done with one payload, for the race. */
export interface Entry {
  readonly encrypt: Task | RemoteTask;
  readonly decrypt: Task | RemoteTask;
}

/** One that the same payloads are given to. */
export interface Contestant {
  readonly name: string;
  /** Gets ready for a payload. Both operations have been done once before this resolves, and gave the payload back. */
  enter(plaintext: Buffer): Promise<Entry>;
  readonly close?: () => Promise<void>;
}

/** A contestant in this process, of two functions. */
export function contestant<Sealed>(
  name: string,
  encrypt: (plaintext: Buffer) => Sealed | Promise<Sealed>,
  decrypt: (sealed: Sealed) => Uint8Array | Promise<Uint8Array>,
  close?: () => Promise<void>,
): Contestant {
  return {
    name,
    enter: async (plaintext) => {
      const sealed = await encrypt(plaintext);
      if (!plaintext.equals(await decrypt(sealed))) throw new Error(`${name} does not give its payload back`);
      return { encrypt: () => encrypt(plaintext), decrypt: () => decrypt(sealed) };
    },
    ...(close && { close }),
  };
}
