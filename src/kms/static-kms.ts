import { createSecretKey, type KeyObject } from 'node:crypto';
import { open, seal } from '../crypto/aead.ts';
import { byteLengthOf, BYTES, check, having, optional, read, STRING } from '../input/checks.ts';
import { invalidConfiguration } from '../errors.ts';
import type { KeyManagementService, Unwrapped } from '../envelope/ports.ts';
import { KEY_BYTES } from '../crypto/random.ts';

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
   * @throws TypeError naming a parameter of a wrong type
   * @throws KeyfoldError `InvalidConfiguration` in Lambda, or for a key of another length
   */
  constructor(masterKey: Uint8Array, environment: LambdaEnvironment, override?: string) {
    check(masterKey, 'masterKey', BYTES);
    check(environment, 'environment', having());
    check(override, 'override', optional(STRING));
    const faults = staticKmsFaults(masterKey, environment, override);
    if (faults.length > 0) throw invalidConfiguration(faults);
    this.#masterKey = createSecretKey(masterKey);
  }

  // A port's methods are promised: a throw in them must be a rejection.
  async wrap(key: Uint8Array): Promise<Uint8Array> {
    check(key, 'key', BYTES);
    return seal(this.#masterKey, key);
  }

  async unwrap(wrapped: Uint8Array): Promise<Unwrapped> {
    check(wrapped, 'wrapped', BYTES);
    const key = open(this.#masterKey, wrapped);
    return key === undefined ? { unreadable: 'it does not open under the static master key' } : { key };
  }
}

/** Why {@link StaticKms} would refuse to start; empty where it would not. */
export function staticKmsFaults(masterKey: Uint8Array, environment: LambdaEnvironment, override?: string): string[] {
  const faults: string[] = [];
  const sizeBytes = byteLengthOf(masterKey);
  if (sizeBytes !== KEY_BYTES) faults.push(`the static master key is of ${sizeBytes} bytes instead of 32`);
  const functionName = read(environment, 'AWS_LAMBDA_FUNCTION_NAME', 'environment');
  if (functionName !== undefined && override !== STATIC_KMS_OVERRIDE) {
    faults.push(
      `a static master key protects nothing in Lambda: use KMS, or override it with "${STATIC_KMS_OVERRIDE}"`,
    );
  }
  return faults;
}
