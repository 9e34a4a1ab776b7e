import { check, NUMBER } from '../input/checks.ts';

/**
 * A clock that stands still until a test moves it, for the option `now` of a `SessionFactory` and of a plug-in.
 * @example
 * const clock = new HandClock();
 * const keyfold = new SessionFactory({ service: 'orders', product: 'shop', kms, metastore, now: clock.now });
 * clock.advance(60_000);
 */
export class HandClock {
  /** Milliseconds since 1970. */
  nowMs: number;

  /** @param nowMs the first reading, in milliseconds since 1970 */
  constructor(nowMs = Date.UTC(2026, 10, 23, 12, 0, 30)) {
    check(nowMs, 'nowMs', NUMBER);
    this.nowMs = nowMs;
  }

  readonly now = (): number => this.nowMs;

  /** Moves the clock forward. A negative number moves it back. */
  advance(ms: number): void {
    check(ms, 'ms', NUMBER);
    this.nowMs += ms;
  }
}
