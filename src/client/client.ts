import { check, OBJECT, optional, optionsOf, STRING } from '../input/checks.ts';
import { HttpTransport, type HttpTransportOptions } from './http.ts';
import { LambdaTransport, type LambdaTransportOptions } from './lambda.ts';
import { PartitionClient } from './partition.ts';
import { retryPolicy, type RetryPolicy } from './retry.ts';

/** How a {@link KeyfoldClient} reaches Keyfold. */
export type KeyfoldClientOptions = (
  | {
      /** By direct invocation. */
      readonly lambda: LambdaTransportOptions;
      readonly http?: undefined;
    }
  | {
      /** Through API Gateway. */
      readonly http: HttpTransportOptions;
      readonly lambda?: undefined;
    }
) & {
  /** What differs from the default policy. */
  readonly retry?: Partial<RetryPolicy>;
};

const OPTIONS = { lambda: optional(OBJECT), http: optional(OBJECT), retry: optional(OBJECT) };

/** A client of a Keyfold that runs in Lambda. One for a process will do. */
export class KeyfoldClient {
  readonly #transport: HttpTransport | LambdaTransport;
  readonly #retry: RetryPolicy;

  /** @throws TypeError naming an option of a wrong type, one that there is not, and those that do not go together */
  constructor(options: KeyfoldClientOptions) {
    const { lambda, http, retry } = optionsOf<KeyfoldClientOptions>(options, 'options', OPTIONS);
    if ((lambda === undefined) === (http === undefined)) {
      throw new TypeError('options must have one of lambda and http.');
    }
    this.#transport = lambda === undefined ? new HttpTransport(http) : new LambdaTransport(lambda);
    this.#retry = retryPolicy(retry);
  }

  /**
   * The operations on a partition's keys. Makes no call.
   * @throws TypeError for a partition that is not a string
   */
  partition(partition: string): PartitionClient {
    check(partition, 'partition', STRING);
    return new PartitionClient(partition, this.#transport, this.#retry);
  }
}
