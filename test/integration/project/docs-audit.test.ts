/** Tests that the example, the table of fields and the queries in docs/reference/audit.md describe the same line. */
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

/** The commands, functions and fields of Logs Insights itself. */
const OF_INSIGHTS =
  'fields filter sort desc limit stats by as and or like in count sum min max bin coalesce @timestamp @message'.split(
    ' ',
  );

/** The names in a query that neither Insights nor the query itself defines. */
function namesIn(query: string): string[] {
  const bare = query.replaceAll(/'[^']*'|"[^"]*"|\/[^/]*\/|\b\d\w*/g, '');
  const made = [...bare.matchAll(/\bas (\w+)/g)].map(([, name = '']) => name);
  const known = new Set([...OF_INSIGHTS, ...made]);
  return [...new Set(bare.match(/@?[a-z]\w*/gi))].filter((name) => !known.has(name));
}

describe('the audit line in docs/reference/audit.md', () => {
  it('has exactly the fields in the table, except the field for queue messages', () => {
    expect(Object.keys(JSON.parse(line) as object)).toEqual(fields.filter((name) => name !== 'messageId'));
  });

  it('has the size that docs/explanation/costs.md assumes', () => {
    expect(Buffer.byteLength(line)).toBe(ASSUMED.auditLineBytes);
  });

  it.for(queries)('has every field that example query %# reads', (query) => {
    expect(fields).toEqual(expect.arrayContaining(namesIn(query)));
    expect(namesIn(query)).toContain('message');
  });

  it('is read by seven example queries', () => {
    expect(queries).toHaveLength(7);
  });
});
