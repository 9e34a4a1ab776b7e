import { describe, expect, it } from 'vitest';
import { isNestedTooDeeply } from '../../../src/records/json-depth.ts';

const nested = (depth: number, inner = ''): string => `${'['.repeat(depth)}${inner}${']'.repeat(depth)}`;

describe('isNestedTooDeeply', () => {
  it.for([
    ['100 levels', nested(100), false],
    ['101 levels', nested(101), true],
    ['100 levels around an object', nested(100, '{}'), true],
    ['1,000 arrays side by side', `[${Array(1000).fill('[]').join()}]`, false],
    ['1,000 arrays that end with a string', `[${Array(1000).fill('["x"]').join()}]`, false],
    ['1,000 objects that end with a string', `[${Array(1000).fill('{"x":"x"}').join()}]`, false],
    ['brackets in a string', JSON.stringify('['.repeat(1000)), false],
    ['brackets after an escaped quotation mark', JSON.stringify(`"${'['.repeat(1000)}`), false],
    ['brackets after an escaped backslash', `["\\\\",${nested(100)}]`, true],
  ] as const)('counts the levels correctly in a text with %s', ([, text, expected]) => {
    JSON.parse(text);
    expect(isNestedTooDeeply(text)).toBe(expected);
  });
});
