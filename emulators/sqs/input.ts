import { invalid, missing, serialization, SqsError, unsupported } from './sqs-error.ts';

/** Reads the members of an SQS request or of a batch entry. Each method checks the member that it returns. */
export class Input {
  readonly #members: Readonly<Record<string, unknown>>;

  /**
   * @param supported the members that the action supports. A member that is null counts as absent.
   * @throws SqsError `UnsupportedOperation` if there is a member that the action does not support
   */
  constructor(members: unknown, supported: readonly string[]) {
    if (typeof members !== 'object' || members === null || Array.isArray(members))
      throw serialization('An object was expected.');
    this.#members = members as Record<string, unknown>;
    for (const name of Object.keys(members)) {
      if (!supported.includes(name) && this.optional(name) !== undefined)
        throw unsupported(`the member ${name}; it has ${supported.join(', ')}`);
    }
  }

  /** A member of any type. Undefined if the member is absent. */
  optional(name: string): unknown {
    return this.#members[name] ?? undefined;
  }

  optionalText(name: string): string | undefined {
    const value = this.optional(name);
    if (value === undefined || typeof value === 'string') return value;
    throw serialization(`${name} must be a string`);
  }

  text(name: string): string {
    const value = this.optionalText(name);
    if (value !== undefined) return value;
    throw missing(name);
  }

  /** An integer from `min` to `max`. Undefined if the member is absent. */
  number(name: string, min: number, max: number): number | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    // The query protocol sends numbers as text.
    const number = typeof value === 'string' && /^-?\d{1,9}$/.test(value) ? Number(value) : value;
    if (typeof value !== 'string' && typeof value !== 'number') throw serialization(`${name} must be a number`);
    if (typeof number !== 'number' || !Number.isInteger(number) || number < min || number > max) {
      throw invalid(`The parameter ${name} must be from ${min} to ${max}.`);
    }
    return number;
  }

  texts(name: string): string[] {
    const value = this.optional(name) ?? [];
    if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
    throw serialization(`${name} must be a list of strings`);
  }

  /** A map of strings. Empty if the member is absent. */
  map(name: string): Record<string, string> {
    const value = this.optional(name) ?? {};
    if (
      typeof value === 'object' &&
      !Array.isArray(value) &&
      Object.values(value).every((one) => typeof one === 'string')
    ) {
      return value as Record<string, string>;
    }
    throw serialization(`${name} must be a map of strings`);
  }

  /** The entries of a batch. @throws SqsError if their number is not from 1 to 10, or if two have the same ID */
  entries(supported: readonly string[]): Input[] {
    const entries = this.optional('Entries') ?? [];
    if (!Array.isArray(entries)) throw serialization('Entries must be a list');
    if (entries.length === 0) throw new SqsError('EmptyBatchRequest', 'There is no entry in the request.');
    if (entries.length > 10) throw new SqsError('TooManyEntriesInBatchRequest', 'There are more than 10 entries.');
    const inputs = entries.map((entry) => new Input(entry, ['Id', ...supported]));
    const ids = inputs.map((input) => input.text('Id'));
    if (ids.some((id) => !/^[\w-]{1,80}$/.test(id)))
      throw new SqsError('InvalidBatchEntryId', 'An entry id has 1 to 80 of A-Z a-z 0-9 _ -.');
    if (new Set(ids).size < ids.length) throw new SqsError('BatchEntryIdsNotDistinct', 'Two entries have the same id.');
    return inputs;
  }
}
