import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FailoverDependencies } from '../../../src/kms/failover.ts';
import { Pkcs11Kms, type Pkcs11KmsOptions } from '../../../src/kms/pkcs11/index.ts';

/** The folder in which Node finds the fake `pkcs11js`. */
export const FAKE_DRIVER_PATH = import.meta.dirname;

export const [GCM, KEY_WRAP_PAD] = [0x1087, 0x210a];

/**
 * The state of a token. `faults` maps the name of a call to its fault: an error code, milliseconds to wait, or `exit`.
 * A list has one error code for each of the next calls.
 */
export interface TokenState {
  readonly tokens: readonly string[];
  /** The error code of each slot whose token cannot be read, keyed by the token's label. */
  readonly broken?: Readonly<Record<string, string>>;
  readonly pin: string;
  readonly mechanisms: readonly number[];
  /** The flags of each mechanism. A mechanism without an entry has all flags that Keyfold needs. */
  readonly flags?: Readonly<Record<number, number>>;
  readonly keys: readonly { readonly label: string; readonly extractable?: boolean; readonly bits?: number }[];
  readonly faults?: Readonly<Record<string, string | number | readonly string[]>>;
  /** The token ends all sessions when this number changes. */
  readonly epoch: number;
  /** Whether the token replaces the GCM nonce with its own. */
  readonly ignoresNonce?: boolean;
  /** The error code that the token returns for bytes that it cannot open. */
  readonly corrupt?: string;
  /** The bytes that the token returns instead of each value that it decrypts. */
  readonly opened?: readonly number[];
}

/** A token of the fake HSM. */
export class FakeToken {
  readonly library: string;
  readonly #folder = mkdtempSync(join(tmpdir(), 'keyfold-token-'));
  #state: TokenState = {
    tokens: ['other', 'production'],
    pin: '1234',
    mechanisms: [GCM, KEY_WRAP_PAD],
    keys: [{ label: 'keyfold' }, { label: 'older key' }],
    epoch: 0,
  };

  constructor() {
    this.library = join(this.#folder, 'token.json');
    this.set({});
  }

  /** Changes the state for all later calls. */
  set(changes: Partial<TokenState>): void {
    this.#state = { ...this.#state, ...changes };
    writeFileSync(this.library, JSON.stringify(this.#state));
    writeFileSync(`${this.library}.calls`, '', { flag: 'a' });
  }

  /** Ends every session, as if the token were pulled out and put back. */
  loseSessions(): void {
    this.set({ epoch: this.#state.epoch + 1 });
  }

  /** Returns the calls since this method was last called. */
  takeCalls(): string[] {
    const calls = readFileSync(`${this.library}.calls`, 'utf8').trim().split('\n');
    writeFileSync(`${this.library}.calls`, '');
    return calls.filter((call) => call !== '');
  }

  /** Opens the token. The retries of its calls follow each other without a pause. */
  open(changes: Partial<Pkcs11KmsOptions> = {}, replaced: Partial<FailoverDependencies> = {}): Pkcs11Kms {
    const options = { tokenLabel: 'production', keyLabels: ['keyfold'], pin: () => '1234', ...changes };
    const dependencies = { now: Date.now, random: Math.random, sleep: async () => {}, ...replaced };
    return new Pkcs11Kms({ library: this.library, ...options }, dependencies);
  }

  /** Removes the token. Retries the removal, because an aborted call may still write into the folder meanwhile. */
  remove(): void {
    rmSync(this.#folder, { recursive: true, maxRetries: 10 });
  }
}
