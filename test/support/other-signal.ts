/** A signal with the methods of an AbortSignal, as a polyfill or another realm makes it. */
export class OtherSignal extends EventTarget {
  aborted = false;
  reason: unknown;
  onabort = null;

  throwIfAborted(): void {
    if (this.aborted) throw this.reason;
  }

  abort(reason: unknown): void {
    this.aborted = true;
    this.reason = reason;
    this.dispatchEvent(new Event('abort'));
  }
}
