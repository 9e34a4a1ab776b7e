import * as v from 'valibot';

/** Members that a caller may send without the object around them. */
const WRAPPED = ['record', 'plaintext', 'items'] as const;

/** How messages name what a schema expects. */
const EXPECTED: Readonly<Record<string, string>> = {
  string: 'a string',
  boolean: 'true or false',
  Array: 'an array',
};

/**
 * What is wrong with a request, in a sentence for its sender. A member that the schema does not know is not named, since its name is
 * the caller's data.
 */
export function inputFault(schema: v.GenericSchema, input: unknown, issue: v.BaseIssue<unknown>): string {
  const names = Object.keys((schema as { readonly entries?: object }).entries ?? {});
  if (typeof input !== 'object' || input === null || Array.isArray(input)) {
    const bare = WRAPPED.find((name) => names.includes(name));
    return bare === undefined ? 'The request must be a JSON object.' : `The request must be an object: ${wrap(bare)}.`;
  }
  if (names.includes('record') && Object.hasOwn(input, 'Key') && Object.hasOwn(input, 'Data'))
    return `${wrap('record')}.`;
  if (Object.keys(input).some((name) => !names.includes(name))) {
    return `The request holds a member that this operation does not know. It knows ${names.join(', ')}.`;
  }
  const name = (v.getDotPath(issue) ?? 'the request').replace(/\.(\d+)/g, '[$1]');
  if (issue.received === 'undefined') return `The request has no ${name}.`;
  if (issue.type === 'min_length' || issue.type === 'max_length') return issue.message;
  return `${name} must be ${EXPECTED[issue.expected ?? ''] ?? issue.expected}.`;
}

function wrap(name: string): string {
  return `wrap the ${name}: {"${name}": …}`;
}
