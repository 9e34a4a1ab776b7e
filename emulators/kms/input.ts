import { isUtf8 } from 'node:buffer';
import { KmsApiError, validation } from './api-error.ts';
import type { EncryptionContext } from './ciphertext.ts';

const MAX_KEY_ID_LENGTH = 2048;
/** The maximum size of an encryption context's JSON. */
const MAX_CONTEXT_BYTES = 8192;
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** Reads the members of a KMS request. Each method checks the type and limits of the member that it returns. */
export class Input {
  readonly #members: Readonly<Record<string, unknown>>;

  /**
   * @param supported the members that the action supports. A member that is null counts as absent.
   * @throws KmsApiError `SerializationException` if the body is not a JSON object in UTF-8, or `ValidationException` if
   * the request has an unsupported member
   */
  constructor(body: Uint8Array, supported: readonly string[]) {
    const parsed: unknown = parse(body);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
      throw serialization('The body is not a JSON object');
    this.#members = parsed as Record<string, unknown>;
    for (const name of Object.keys(parsed)) {
      if (!supported.includes(name) && this.optional(name) !== undefined)
        throw validation(`The emulator does not support the member '${name}'; it supports ${supported.join(', ')}`);
    }
  }

  /** The ID, ARN or alias of a key. */
  keyId(name = 'KeyId'): string {
    return this.optionalKeyId(name) ?? missing(name);
  }

  optionalKeyId(name = 'KeyId'): string | undefined {
    const value = this.optionalText(name);
    if (value !== undefined && (value === '' || value.length > MAX_KEY_ID_LENGTH)) {
      throw validation(`Value at '${name}' must have length from 1 to ${MAX_KEY_ID_LENGTH}`);
    }
    return value;
  }

  text(name: string): string {
    return this.optionalText(name) ?? missing(name);
  }

  /** A member of any type. Undefined if the member is absent. */
  optional(name: string): unknown {
    return this.#members[name] ?? undefined;
  }

  optionalText(name: string): string | undefined {
    const value = this.optional(name);
    if (value === undefined || typeof value === 'string') return value;
    throw serialization(`Value at '${name}' must be a string`);
  }

  optionalBoolean(name: string): boolean | undefined {
    const value = this.optional(name);
    if (value === undefined || typeof value === 'boolean') return value;
    throw serialization(`Value at '${name}' must be true or false`);
  }

  /** An integer from `min` to `max`. Undefined if the member is absent. */
  number(name: string, min: number, max: number): number | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    if (!Number.isInteger(value)) throw serialization(`Value at '${name}' must be a whole number`);
    if ((value as number) < min || (value as number) > max)
      throw validation(`Value at '${name}' must be from ${min} to ${max}`);
    return value as number;
  }

  /** Decodes a base64 member of 1 to `maxBytes` bytes. */
  bytes(name: string, maxBytes: number): Buffer {
    const value = this.text(name);
    if (!BASE64.test(value)) throw serialization(`Value at '${name}' must be base64`);
    const bytes = Buffer.from(value, 'base64');
    if (bytes.length < 1 || bytes.length > maxBytes) {
      throw validation(`Value at '${name}' must have length from 1 to ${maxBytes}`);
    }
    return bytes;
  }

  encryptionContext(): EncryptionContext {
    const value = this.optional('EncryptionContext') ?? {};
    if (typeof value !== 'object' || Array.isArray(value) || Object.values(value).some((v) => typeof v !== 'string')) {
      throw serialization("Value at 'EncryptionContext' must be a map of strings");
    }
    if (Buffer.byteLength(JSON.stringify(value)) > MAX_CONTEXT_BYTES)
      throw validation(`Value at 'EncryptionContext' must have at most ${MAX_CONTEXT_BYTES} bytes`);
    return value as EncryptionContext;
  }

  /** Ends a valid dry run. @throws KmsApiError `DryRunOperationException` if the request has `DryRun: true` */
  endDryRun(): void {
    if (this.optionalBoolean('DryRun') !== true) return;
    const message = 'The request would have succeeded, but the DryRun option is set.';
    throw new KmsApiError('DryRunOperationException', message, 412);
  }
}

function parse(body: Uint8Array): unknown {
  if (!isUtf8(body)) throw serialization('The body is not UTF-8');
  try {
    return JSON.parse(Buffer.from(body).toString());
  } catch {
    throw serialization('The body is not JSON');
  }
}

function missing(name: string): never {
  throw validation(`Value at '${name}' must not be null`);
}

/** Makes the error that KMS returns if a member has the wrong JSON type. */
function serialization(message: string): KmsApiError {
  return new KmsApiError('SerializationException', message);
}
