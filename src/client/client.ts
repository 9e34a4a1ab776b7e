import { check, having, OBJECT, optional, optionsOf, STRING, type Type } from '../input/checks.ts';
import { HttpTransport, type HttpTransportOptions } from './http.ts';
import type { LambdaTransport } from './lambda.ts';
import { PartitionClient } from './partition.ts';
import { retryPolicy, type RetryPolicy } from './retry.ts';
import type { Transport } from './transport.ts';

/** How a {@link KeyfoldClient} reaches Keyfold. */
export type KeyfoldClientOptions = (
  | {
      /** Invokes the Lambda functions directly. The class is in `keyfold/client/lambda`. */
      readonly lambda: LambdaTransport;
      readonly http?: undefined;
    }
  | {
      /** Calls the HTTP API through API Gateway. */
      readonly http: HttpTransportOptions;
      readonly lambda?: undefined;
    }
) & {
  /** Values that replace those of the default retry policy. */
  readonly retry?: Partial<RetryPolicy>;
};

const TRANSPORT: Type = { called: 'a LambdaTransport', holds: having('send').holds };
const OPTIONS = { lambda: optional(TRANSPORT), http: optional(OBJECT), retry: optional(OBJECT) };

/**
 * A client for a Keyfold service that runs in Lambda. It keeps connections open, so make one client per process and
 * share it.
 * @example
 * import { KeyfoldClient } from 'keyfold/client';
 * import { LambdaTransport } from 'keyfold/client/lambda';
 *
 * const keyfold = new KeyfoldClient({ lambda: new LambdaTransport({ functions: 'keyfold:live' }) });
 * const record = await keyfold.partition('tenant-42').encrypt(Buffer.from('secret'));
 */
export class KeyfoldClient {
  readonly #transport: Transport;
  readonly #retry: RetryPolicy;

  /**
   * @throws TypeError if an option is unknown or has the wrong type, or if the options contain both or neither of
   * `lambda` and `http`
   */
  constructor(options: KeyfoldClientOptions) {
    const { lambda, http, retry } = optionsOf<KeyfoldClientOptions>(options, 'options', OPTIONS);
    if ((lambda === undefined) === (http === undefined)) {
      throw new TypeError('options must have one of lambda and http.');
    }
    this.#transport = lambda ?? new HttpTransport(http);
    this.#retry = retryPolicy(retry);
  }

  /**
   * Returns the operations on one partition's keys. Sends nothing.
   * @throws TypeError if the partition is not a string
   */
  partition(partition: string): PartitionClient {
    check(partition, 'partition', STRING);
    return new PartitionClient(partition, this.#transport, this.#retry);
  }
}
