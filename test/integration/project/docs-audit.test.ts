/** docs/reference/audit.md: its example, its table of fields and its queries are of one line. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ASSUMED } from '../../../scripts/costs/given.ts';

const text = readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', 'reference', 'audit.md'), 'utf8');
const blocks = [...text.matchAll(/^```\n(.*?)\n```$/gms)].map(([, block = '']) => block);
const line = blocks.find((block) => block.startsWith('{"level"')) ?? '';
const queries = blocks.filter((block) => /^(?:fields|filter) /.test(block));
const [, table = ''] = /^\| field .*?\n\|[ -|]*\n(.*?)\n\n/ms.exec(text) ?? [];
const fields = [...table.matchAll(/^\| `(\w+)`/gm)].map(([, name = '']) => name);

/** What Insights itself brings: commands, functions and fields of its own. */
const OF_INSIGHTS =
  'fields filter sort desc limit stats by as and or like in count sum min max bin coalesce @timestamp @message'.split(
    ' ',
  );

/** The names in a query that are none of Insights', and were not made by it. */
function namesIn(query: string): string[] {
  const bare = query.replaceAll(/'[^']*'|"[^"]*"|\/[^/]*\/|\b\d\w*/g, '');
  const made = [...bare.matchAll(/\bas (\w+)/g)].map(([, name = '']) => name);
  const known = new Set([...OF_INSIGHTS, ...made]);
  return [...new Set(bare.match(/@?[a-z]\w*/gi))].filter((name) => !known.has(name));
}

describe('the audit line', () => {
  it('has the fields of the table, in the example but for the one of a queue alone', () => {
    expect(Object.keys(JSON.parse(line) as object)).toEqual(fields.filter((name) => name !== 'messageId'));
  });

  it('is as long as the costs assume', () => {
    expect(Buffer.byteLength(line)).toBe(ASSUMED.auditLineBytes);
  });

  it.for(queries)('has what this query asks for: %s', (query) => {
    expect(fields).toEqual(expect.arrayContaining(namesIn(query)));
    expect(namesIn(query)).toContain('message');
  });

  it('is asked for by six queries', () => {
    expect(queries).toHaveLength(6);
  });
});
