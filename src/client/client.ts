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

/** A client of a Keyfold that runs in Lambda. One for a process will do. */
export class KeyfoldClient {
  readonly #transport: HttpTransport | LambdaTransport;
  readonly #retry: RetryPolicy;

  /** @throws TypeError where the options do not go together, or the policy is none */
  constructor({ lambda, http, retry }: KeyfoldClientOptions) {
    this.#transport = lambda === undefined ? new HttpTransport(http) : new LambdaTransport(lambda);
    this.#retry = retryPolicy(retry);
  }

  /** The operations on a partition's keys. Makes no call. */
  partition(partition: string): PartitionClient {
    return new PartitionClient(partition, this.#transport, this.#retry);
  }
}
