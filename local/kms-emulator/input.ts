import { validation } from './api-error.ts';
import type { EncryptionContext } from './ciphertext.ts';

/** The members of a request, checked as they are asked for. */
export class Input {
  readonly #members: Readonly<Record<string, unknown>>;

  /** @throws KmsApiError `ValidationException` where the body is not a JSON object */
  constructor(body: string) {
    const parsed: unknown = parse(body);
    if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
      throw validation('The body is no JSON object');
    this.#members = parsed as Record<string, unknown>;
  }

  text(name: string): string {
    return this.optionalText(name) ?? missing(name);
  }

  /** A member of whatever type; undefined where it is not given. */
  optional(name: string): unknown {
    return this.#members[name] ?? undefined;
  }

  optionalText(name: string): string | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    if (typeof value !== 'string' || value === '') throw validation(`Value at '${name}' must be a string`);
    return value;
  }

  /** A whole number within limits; undefined where it is not given. */
  number(name: string, least: number, most: number): number | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    if (!Number.isInteger(value) || (value as number) < least || (value as number) > most) {
      throw validation(`Value at '${name}' must be from ${least} to ${most}`);
    }
    return value as number;
  }

  /** A blob, in base64 on the wire, of 1 byte up to so many. */
  bytes(name: string, mostBytes: number): Buffer {
    const bytes = Buffer.from(this.text(name), 'base64');
    if (bytes.length < 1 || bytes.length > mostBytes) {
      throw validation(`Value at '${name}' must have length from 1 to ${mostBytes}`);
    }
    return bytes;
  }

  encryptionContext(): EncryptionContext {
    const value = this.optional('EncryptionContext') ?? {};
    if (typeof value !== 'object' || Object.values(value).some((v) => typeof v !== 'string')) {
      throw validation("Value at 'EncryptionContext' must be a map of strings");
    }
    return value as EncryptionContext;
  }
}

function parse(body: string): unknown {
  try {
    return JSON.parse(body);
  } catch {
    throw validation('The body is no JSON');
  }
}

function missing(name: string): never {
  throw validation(`Value at '${name}' must not be null`);
}
