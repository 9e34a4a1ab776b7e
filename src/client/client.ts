import { check, OBJECT, optional, optionsOf, STRING } from '../input/checks.ts';
import { HttpTransport, type HttpTransportOptions } from './http.ts';
import { LambdaTransport, type LambdaTransportOptions } from './lambda.ts';
import { PartitionClient } from './partition.ts';
import { retryPolicy, type RetryPolicy } from './retry.ts';

/** How a {@link KeyfoldClient} reaches Keyfold. */
export type KeyfoldClientOptions = (
  | {
      /** Invokes the Lambda functions directly. */
      readonly lambda: LambdaTransportOptions;
      readonly http?: undefined;
    }
  | {
      /** Calls the HTTP API through API Gateway. */
      readonly http: HttpTransportOptions;
      readonly lambda?: undefined;
    }
) & {
  /** Overrides single values of the default retry policy. */
  readonly retry?: Partial<RetryPolicy>;
};

const OPTIONS = { lambda: optional(OBJECT), http: optional(OBJECT), retry: optional(OBJECT) };

/**
 * A client for a Keyfold service that runs in Lambda. It keeps connections open, so make one client per process and
 * share it.
 * @example
 * const keyfold = new KeyfoldClient({ lambda: { functions: 'keyfold:live' } });
 * const record = await keyfold.partition('tenant-42').encrypt(Buffer.from('secret'));
 */
export class KeyfoldClient {
  readonly #transport: HttpTransport | LambdaTransport;
  readonly #retry: RetryPolicy;

  /**
   * @throws TypeError if an option has the wrong type, if it does not exist, or unless `lambda` or `http` alone is
   * given
   */
  constructor(options: KeyfoldClientOptions) {
    const { lambda, http, retry } = optionsOf<KeyfoldClientOptions>(options, 'options', OPTIONS);
    if ((lambda === undefined) === (http === undefined)) {
      throw new TypeError('options must have one of lambda and http.');
    }
    this.#transport = lambda === undefined ? new HttpTransport(http) : new LambdaTransport(lambda);
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
