import * as v from 'valibot';
import { isJsonObject } from '../input/json-object.ts';

/** Members that callers often send without the object around them. */
const WRAPPED = ['record', 'plaintext', 'items'] as const;

/** The names of types in messages, keyed by Valibot's name for the type. The last one is the type of `bindPath`. */
const EXPECTED: Readonly<Record<string, string>> = {
  string: 'a string',
  boolean: 'true or false',
  Array: 'an array',
  '("exact" | "none")': '"exact" or "none"',
};

/**
 * Describes in a sentence, for the caller, what is wrong with a request. It does not name unknown members, because
 * their names are the caller's data.
 */
export function inputFault(schema: v.GenericSchema, input: unknown, issue: v.BaseIssue<unknown>): string {
  const names = Object.keys((schema as { readonly entries?: object }).entries ?? {});
  if (!isJsonObject(input)) {
    const bare = WRAPPED.find((name) => names.includes(name));
    return bare === undefined ? 'The request must be a JSON object.' : `The request must be an object: ${wrap(bare)}.`;
  }
  if (names.includes('record') && Object.hasOwn(input, 'Key') && Object.hasOwn(input, 'Data'))
    return `${wrap('record')}.`;
  if (Object.keys(input).some((name) => !names.includes(name))) {
    return `The request holds an unknown member. This operation accepts ${names.join(', ')}.`;
  }
  const name = (v.getDotPath(issue) ?? 'the request').replace(/\.(\d+)/g, '[$1]');
  if (issue.received === 'undefined') return `The request has no ${name}.`;
  if (issue.type === 'min_length' || issue.type === 'max_length') return issue.message;
  return `${name} must be ${EXPECTED[issue.expected ?? ''] ?? issue.expected}.`;
}

function wrap(name: string): string {
  return `wrap the ${name}: {"${name}": …}`;
}
