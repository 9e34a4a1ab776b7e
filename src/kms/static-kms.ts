import { createSecretKey, type KeyObject } from 'node:crypto';
import { open, seal } from '../crypto/aead.ts';
import { byteLengthOf, BYTES, check, having, optional, read, STRING } from '../input/checks.ts';
import { invalidConfiguration } from '../errors.ts';
import type { KeyManagementService, Unwrapped } from '../envelope/ports.ts';
import { KEY_BYTES } from '../crypto/random.ts';

/** The value that an override must have to allow a static master key in Lambda. */
export const STATIC_KMS_OVERRIDE = 'anyone-who-reads-this-configuration-can-read-all-data';

/** The environment variable that only Lambda functions have. */
export interface LambdaEnvironment {
  readonly AWS_LAMBDA_FUNCTION_NAME?: string | undefined;
}

/** For tests and local runs: seals System Keys with a master key instead of KMS. */
export class StaticKms implements KeyManagementService {
  readonly #masterKey: KeyObject;

  /**
   * @param masterKey 32 bytes. The constructor copies them, so the caller may zero them afterwards.
   * @param environment `process.env`, which shows whether the process runs in Lambda
   * @param override {@link STATIC_KMS_OVERRIDE}, to use the static key in Lambda
   * @throws TypeError that names a parameter of the wrong type
   * @throws KeyfoldError `InvalidConfiguration` in Lambda without the override, or if the key is not 32 bytes long
   */
  constructor(masterKey: Uint8Array, environment: LambdaEnvironment, override?: string) {
    check(masterKey, 'masterKey', BYTES);
    check(environment, 'environment', having());
    check(override, 'override', optional(STRING));
    const faults = staticKmsFaults(masterKey, environment, override);
    if (faults.length > 0) throw invalidConfiguration(faults);
    this.#masterKey = createSecretKey(masterKey);
  }

  // The methods are async, so that a failed check rejects the promise and does not throw synchronously.
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

/**
 * Lists the reasons why the constructor of {@link StaticKms} would fail. The list is empty if the constructor would
 * succeed.
 */
export function staticKmsFaults(masterKey: Uint8Array, environment: LambdaEnvironment, override?: string): string[] {
  const faults: string[] = [];
  const sizeBytes = byteLengthOf(masterKey);
  if (sizeBytes !== KEY_BYTES) faults.push(`the static master key has ${sizeBytes} bytes and must have ${KEY_BYTES}`);
  const functionName = read(environment, 'AWS_LAMBDA_FUNCTION_NAME', 'environment');
  if (functionName !== undefined && override !== STATIC_KMS_OVERRIDE) {
    faults.push(
      'a static master key protects nothing in Lambda, because it is in the configuration of the function: ' +
        `use KMS, or set the override to "${STATIC_KMS_OVERRIDE}"`,
    );
  }
  return faults;
}
