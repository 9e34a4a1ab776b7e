import type { Clock } from '../../async/clock.ts';
import { orAborted, type Deadline } from '../../async/deadline.ts';
import { SingleFlight } from '../../async/single-flight.ts';
import { mayFindLater } from '../../connections/passing-fault.ts';
import { viewOf } from '../../input/checks.ts';
import { withinAttempt } from '../attempt.ts';
import type { Region } from '../failover.ts';
import { RegionFault, type KmsAction } from '../region-fault.ts';
import type { TokenFault } from './pkcs11-faults.ts';
import type { CheckedPkcs11Options } from './pkcs11-options.ts';
import { threadOf } from './pkcs11-thread.ts';
import type { TokenAnswer, TokenCall, TokenSettings } from './pkcs11-token.ts';
import type { Pkcs11Wrap } from './pkcs11-wrap.ts';

/** One token. A method throws a `RegionFault` if the token fails. */
export class Pkcs11Client implements Region {
  readonly region: string;
  readonly #pin: CheckedPkcs11Options['pin'];
  readonly #timeoutMs: number;
  readonly #now: Clock;
  readonly #library: string;
  readonly #settings: TokenSettings;
  readonly #logIns: SingleFlight<void>;

  constructor({ library, tokenLabel, keyLabels, pin, mechanism, requestTimeoutMs }: CheckedPkcs11Options, now: Clock) {
    const [keyLabel = ''] = keyLabels;
    this.region = tokenLabel;
    this.#pin = pin;
    this.#timeoutMs = requestTimeoutMs;
    this.#now = now;
    this.#library = library;
    this.#settings = { tokenLabel, keyLabel, mechanism };
    this.#logIns = new SingleFlight(requestTimeoutMs, now);
  }

  /** Wraps a key. It must be in memory of its own, because the thread gets a copy of the memory behind an array. */
  async wrap(key: Uint8Array, deadline: Deadline): Promise<Pkcs11Wrap> {
    const answer = await this.#call('Encrypt', { op: 'wrap', key }, deadline);
    if (answer.op !== 'wrapped') throw this.#fault('Encrypt', UNEXPECTED);
    return { ...answer.wrap, bytes: Buffer.from(answer.wrap.bytes) };
  }

  /** Unwraps a key. The caller owns the bytes and must zero them. */
  async unwrap(wrap: Pkcs11Wrap, deadline: Deadline): Promise<Buffer> {
    // As in wrap(), the thread must get only these bytes, and not the memory around them.
    const call = { op: 'unwrap', ...wrap, bytes: viewOf(Uint8Array.from(wrap.bytes)) } as const;
    const answer = await this.#call('Decrypt', call, deadline);
    if (answer.op !== 'unwrapped') throw this.#fault('Decrypt', UNEXPECTED);
    return viewOf(answer.key);
  }

  /**
   * Calls the token. Logs in first if there is no session, and logs in again if the session turns out to have ended.
   */
  async #call(action: KmsAction, call: TokenCall, deadline: Deadline): Promise<TokenAnswer> {
    const limits = { region: this.region, action, timeoutMs: this.#timeoutMs, now: this.#now };
    return withinAttempt(limits, deadline, async (attempt) => {
      const answer = this.#checked(action, await this.#ask(call, attempt.signal));
      if (answer.op !== 'disconnected') return answer;
      await this.#logIns.run('log-in', attempt, (flight) => this.#logIn(action, flight.signal));
      const second = this.#checked(action, await this.#ask(call, attempt.signal));
      if (second.op !== 'disconnected') return second;
      throw this.#fault(action, second.fault ?? UNEXPECTED);
    });
  }

  async #logIn(action: KmsAction, signal: AbortSignal): Promise<void> {
    const pin = await this.#askedPin(action, signal);
    this.#checked(action, await this.#ask({ op: 'connect', pin }, signal));
  }

  /** Gets the PIN from the caller's function. The function's own error is omitted, because it may quote the PIN. */
  async #askedPin(action: KmsAction, signal: AbortSignal): Promise<string> {
    const asked = Promise.resolve().then(() => this.#pin());
    const pin: unknown = await orAborted(asked, signal).catch((error: unknown) => {
      throw this.#fault(action, {
        faultClass: mayFindLater(error) ? 'unavailable' : 'misconfigured',
        errorName: NO_PIN,
      });
    });
    if (typeof pin === 'string' && pin !== '') return pin;
    throw this.#fault(action, { faultClass: 'misconfigured', errorName: NO_PIN });
  }

  #ask(call: TokenCall, signal: AbortSignal): Promise<TokenAnswer> {
    return threadOf(this.#library).ask(this.#settings, call, signal);
  }

  #checked(action: KmsAction, answer: TokenAnswer): TokenAnswer {
    if (answer.op === 'failed') throw this.#fault(action, answer.fault);
    return answer;
  }

  #fault(action: KmsAction, { faultClass, errorName }: TokenFault): RegionFault {
    return new RegionFault(this.region, action, faultClass, errorName);
  }
}

const NO_PIN = 'NoPin';
const UNEXPECTED: TokenFault = { faultClass: 'unavailable', errorName: 'UnexpectedAnswer' };
