import { invalid, SqsError } from './sqs-error.ts';

/** The members of a request or of an entry in one, checked as they are asked for. */
export class Input {
  readonly #members: Readonly<Record<string, unknown>>;

  constructor(members: unknown) {
    if (typeof members !== 'object' || members === null || Array.isArray(members)) throw invalid('No object');
    this.#members = members as Record<string, unknown>;
  }

  /** A member of whatever type; undefined where it is not given. */
  optional(name: string): unknown {
    return this.#members[name] ?? undefined;
  }

  optionalText(name: string): string | undefined {
    const value = this.optional(name);
    if (value === undefined || typeof value === 'string') return value;
    throw invalid(`${name} must be a string`);
  }

  text(name: string): string {
    const value = this.optionalText(name);
    if (value !== undefined) return value;
    throw new SqsError('MissingParameter', `The request must contain the parameter ${name}.`);
  }

  /** A whole number within limits; undefined where it is not given. */
  number(name: string, least: number, most: number): number | undefined {
    const value = this.optional(name);
    if (value === undefined) return undefined;
    const number = Number(value);
    if (!Number.isInteger(number) || number < least || number > most) {
      throw invalid(`The parameter ${name} must be from ${least} to ${most}.`);
    }
    return number;
  }

  texts(name: string): string[] {
    const value = this.optional(name) ?? [];
    if (Array.isArray(value) && value.every((one) => typeof one === 'string')) return value;
    throw invalid(`${name} must be a list of strings`);
  }

  /** The strings of a map, by name. */
  map(name: string): Record<string, string> {
    const value = this.optional(name) ?? {};
    if (typeof value === 'object' && Object.values(value).every((one) => typeof one === 'string')) {
      return value as Record<string, string>;
    }
    throw invalid(`${name} must be a map of strings`);
  }

  /** The entries of a batch, of which there may be one to ten, each with an id of its own. */
  entries(): Input[] {
    const entries = (this.optional('Entries') ?? []) as unknown[];
    if (entries.length === 0) throw new SqsError('EmptyBatchRequest', 'There is no entry in the request.');
    if (entries.length > 10) throw new SqsError('TooManyEntriesInBatchRequest', 'There are more than 10 entries.');
    const inputs = entries.map((entry) => new Input(entry));
    const ids = new Set(inputs.map((input) => input.text('Id')));
    if (ids.size < inputs.length) throw new SqsError('BatchEntryIdsNotDistinct', 'Two entries have the same id.');
    return inputs;
  }
}
