/** Tests that every error code has a row in docs/reference/errors.md and an entry in docs/how-to/troubleshoot.md. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { KeyfoldTransportError, type TransportErrorCode } from '../../../src/client/errors.ts';
import { statusOf } from '../../../src/doors/problem.ts';
import { isErrorCode, isRetryable, type ErrorCode } from '../../../src/errors.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const read = (name: string): string => readFileSync(join(root, name), 'utf8');

/**
 * The codes in a constant at the beginning of a source file. The tests read the source, because types do not exist at
 * run time.
 */
function codesIn(file: string, table: string): string[] {
  const [, members = ''] = new RegExp(`^const ${table} = \\{\n(.*?)^\\}`, 'ms').exec(read(file)) ?? [];
  return [...members.matchAll(/^ {2}(\w+): (?:true|false),$/gm)].map(([, name = '']) => name);
}

const service = codesIn('src/errors.ts', 'RETRYABLE') as ErrorCode[];
const transport = codesIn('src/client/errors.ts', 'TRANSPORT_RETRYABLE') as TransportErrorCode[];
const reference = read('docs/reference/errors.md');
const [, ofService = '', ofClient = ''] = reference.split(/^## /m);

/** The rows of the table in a section: each code with its other cells. */
function rowsOf(section: string): Record<string, string[]> {
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const cells = rows.map((row) => row.split('|').map((cell) => cell.trim().replaceAll('`', '')));
  return Object.fromEntries(cells.map(([, code = '', ...rest]) => [code, rest]));
}

/** The text of an entry of the troubleshooting page. */
function entryOf(code: string): string {
  return (
    read('docs/how-to/troubleshoot.md')
      .split(/^##+ /m)
      .find((entry) => entry.startsWith(`${code}\n`)) ?? ''
  );
}

it('this test finds the error codes in the source', () => {
  expect(service.length).toBeGreaterThanOrEqual(18);
  expect(service.filter((code) => !isErrorCode(code))).toEqual([]);
  expect(transport.length).toBeGreaterThanOrEqual(12);
});

describe('docs/reference/errors.md', () => {
  it('gives the status of each service error code, and says whether a retry may help', () => {
    const expected = service.map((code) => [code, [String(statusOf(code)), isRetryable(code) ? 'yes' : 'no']]);
    const rows = Object.entries(rowsOf(ofService)).map(([code, cells]) => [code, cells.slice(0, 2)]);
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(expected));
  });

  it('says for each client error code whether the client retries', () => {
    const expected = transport.map((code) => [code, new KeyfoldTransportError(code, '').retryable ? 'yes' : 'no']);
    const rows = Object.entries(rowsOf(ofClient)).map(([code, [retry]]) => [code, retry]);
    expect(Object.fromEntries(rows)).toEqual(Object.fromEntries(expected));
  });
});

describe('docs/how-to/troubleshoot.md', () => {
  it.for([...new Set([...service, ...transport])])('explains the error code %s in four parts', (code) => {
    for (const part of ['**Means**', '**Usual causes**', '**Look at**', '**Do**']) {
      expect(entryOf(code)).toContain(part);
    }
  });
});
