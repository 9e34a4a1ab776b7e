import { createSecretKey, type KeyObject } from 'node:crypto';
import { open, seal } from '../envelope/aead.ts';
import { invalidConfiguration } from '../envelope/errors.ts';
import type { KeyManagementService, Unwrapped } from '../envelope/ports.ts';
import { KEY_BYTES } from '../envelope/random.ts';

/** What must be said, word for word, to run on a static master key in Lambda all the same. */
export const STATIC_KMS_OVERRIDE = 'anyone-who-reads-this-configuration-can-read-all-data';

/** The variable that every Lambda function has and nothing else does. */
export interface LambdaEnvironment {
  readonly AWS_LAMBDA_FUNCTION_NAME?: string | undefined;
}

/** One master key instead of KMS, for tests and local runs. It seals System Keys directly. */
export class StaticKms implements KeyManagementService {
  readonly #masterKey: KeyObject;

  /**
   * @param masterKey 32 bytes, which stay the caller's
   * @param environment `process.env`, to see whether this is Lambda
   * @param override {@link STATIC_KMS_OVERRIDE}, to run there all the same
   * @throws KeyfoldError `InvalidConfiguration` in Lambda, or for a key of another length
   */
  constructor(masterKey: Uint8Array, environment: LambdaEnvironment, override?: string) {
    const faults = staticKmsFaults(masterKey, environment, override);
    if (faults.length > 0) throw invalidConfiguration(faults);
    this.#masterKey = createSecretKey(masterKey);
  }

  // A port's methods are promised: a throw in them must be a rejection.
  async wrap(key: Uint8Array): Promise<Uint8Array> {
    return seal(this.#masterKey, key);
  }

  async unwrap(wrapped: Uint8Array): Promise<Unwrapped> {
    const key = open(this.#masterKey, wrapped);
    return key === undefined ? { unreadable: 'it does not open under the static master key' } : { key };
  }
}

/** Why {@link StaticKms} would refuse to start; empty where it would not. */
export function staticKmsFaults(masterKey: Uint8Array, environment: LambdaEnvironment, override?: string): string[] {
  const faults: string[] = [];
  if (masterKey.length !== KEY_BYTES)
    faults.push(`the static master key is of ${masterKey.length} bytes instead of 32`);
  if (environment.AWS_LAMBDA_FUNCTION_NAME !== undefined && override !== STATIC_KMS_OVERRIDE) {
    faults.push(
      `a static master key protects nothing in Lambda: use KMS, or override it with "${STATIC_KMS_OVERRIDE}"`,
    );
  }
  return faults;
}
