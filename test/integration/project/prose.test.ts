import { describe, expect, it } from 'vitest';
import { faultsIn, markdownFaultsIn } from '../../../scripts/prose/faults.ts';
import { proseOf } from '../../../scripts/prose/scan.ts';

const WIDE = 'x '.repeat(60).concat('x');

describe('the prose check', () => {
  it.for([
    ['a banned phrase that spans two lines of a comment', '/** For\n * whoever reads it. */'],
    ['a banned phrase across two line comments', '// The caller is\n// told of it.'],
    ['a banned phrase in a test title', "it('is fixed by whoever is next', () => {});"],
    ['a banned phrase in a row of a table', "it.for([['by nobody']] as const)('is read %s', () => {});"],
    ['a banned phrase in the title of a suite', "describe('the crew', () => {});"],
    ['a banned phrase in an error', "throw new Error('he sent no key');"],
    ['a wide line comment', `// ${WIDE}`],
    ['a wide line in a doc comment', `/**\n * a\n * ${WIDE}\n */`],
  ] as const)('finds %s', ([, text]) => {
    expect(faultsIn('src/file.ts', text)).toHaveLength(1);
  });

  it.for([
    ['a banned phrase in code', 'const crew = { nobody: 1 };'],
    ['a wide line of code', `const wide = '${WIDE}';`],
    ['a comment for a tool', '// oxlint-disable-next-line whoever'],
    ['a relative clause with who', '// An attacker who can write to the table.'],
  ] as const)('accepts %s', ([, text]) => {
    expect(faultsIn('src/file.ts', text)).toEqual([]);
  });

  it.for([
    ['file.go', '// Nobody reads it.\nfunc main() {}'],
    ['file.py', '# Nobody reads it.'],
    ['file.css', '/* Nobody reads it. */'],
  ] as const)('reads the comments of %s', ([file, text]) => {
    expect(faultsIn(file, text)).toHaveLength(1);
  });

  it('finds Markdown lines that are too long, except in code, tables and links', () => {
    const text = [WIDE, '```', WIDE, '```', `| ${WIDE} |`, `[a](b) ${WIDE}`, 'short'].join('\n');
    expect(markdownFaultsIn('README.md', text)).toEqual(['README.md:1: 121 columns']);
  });

  it.for([
    ['a Markdown paragraph with two lines', 'The caller is\ntold of it.', 1],
    ['a Markdown list item', 'A list:\n- one\n- for whoever reads it', 3],
    ['a Markdown table cell', '| a | b |\n| - | - |\n| nobody | reads |', 3],
  ] as const)('finds a banned phrase in %s', ([, text, line]) => {
    expect(markdownFaultsIn('README.md', text)).toEqual([expect.stringContaining(`README.md:${line}: "`)]);
  });

  it('accepts a banned phrase in Markdown code', () => {
    expect(markdownFaultsIn('README.md', 'The user `nobody`.\n\n```\nnobody\n```')).toEqual([]);
  });
});

describe('the random prose draw', () => {
  it('includes each test with its suite titles and table rows', () => {
    const text = "describe('a key', () => {\n  it.for([['old', 1], ['new', 2]] as const)('is %s (%i)', () => {});\n});";
    const [suite, test] = proseOf('test/file.ts', text).titles;
    expect(suite).toMatchObject({ isSuite: true, rows: [{ text: 'a key', line: 1 }] });
    expect(test).toMatchObject({
      isSuite: false,
      rows: [{ text: 'a key > is old (1)' }, { text: 'a key > is new (2)' }],
    });
  });

  it('shows a value that is not a literal as its source text', () => {
    const text =
      "const ROWS = [[2 ** 31, { kind: 'a' }]] as const;\nit.for(ROWS)('case %# waits %i ms after %j', () => {});";
    const [test] = proseOf('test/file.ts', text).titles;
    expect(test?.rows.map((row) => row.text)).toEqual(["case 0 waits 2 ** 31 ms after { kind: 'a' }"]);
  });

  it('does not mistake the condition of a test for the title', () => {
    const { titles } = proseOf('test/file.ts', "it.runIf(process.platform === 'linux')('opens', () => {});");
    expect(titles.map(({ rows }) => rows.map((row) => row.text))).toEqual([['opens']]);
  });

  it('shows a string in quotes for %j and %o, but not for %s', () => {
    const [test] = proseOf('test/file.ts', "it.for([['', 'a', 'b']])('reads %j, %o and %s', () => {});").titles;
    expect(test?.rows.map((row) => row.text)).toEqual(['reads "", "a" and b']);
  });
});
