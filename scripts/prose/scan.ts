import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { extname, join } from 'node:path';
import { parseSync, Visitor, type CallExpression, type Comment, type Expression, type Node } from 'oxc-parser';

/** The repository's folder. */
export const ROOT = join(import.meta.dirname, '..', '..');
const FOLDERS = [
  'src',
  'handlers',
  'local',
  'emulators',
  'deploy',
  'examples',
  'scripts',
  'bench',
  'test',
  '.ci',
  'infra',
  'tools',
  '*.config.ts',
  '*.yml',
];
const SCRIPTS = new Set(['.ts', '.js', '.mjs', '.cjs']);
/** How a comment line begins in languages other than TypeScript and JavaScript. */
const LINE_COMMENT: Readonly<Record<string, RegExp>> = {
  '.go': /^\s*\/\/ ?/,
  '.java': /^\s*(?:\/\/|\/\*\*?|\*\/?) ?/,
  '.rs': /^\s*\/\/[/!]? ?/,
  '.css': /^\s*\/\* ?/,
  '.py': /^\s*# ?/,
  '.yml': /^\s*# ?/,
  // A shell script, such as .ci/run.
  '': /^\s*#(?!!) ?/,
};
/** Comments that are instructions for a tool. */
const DIRECTIVE = /^(?:!|[@#]__|@ts-|oxlint-|eslint-|prettier-|knip|Stryker|v8 )/;
const TEST_FUNCTIONS = new Set(['describe', 'it', 'test']);
/** The maximum number of characters for a value's source text in a title. */
const MAX_SOURCE = 60;

/** A comment, test title or message, with its first and last line. */
export interface Passage {
  readonly file: string;
  readonly line: number;
  readonly lastLine: number;
  readonly text: string;
}

/** The title of a test or suite. It begins with the titles of the suites around it. */
interface Title {
  readonly isSuite: boolean;
  /** For `it.for(table)(title)`, one title for each row. Otherwise only one title. */
  readonly rows: readonly Passage[];
}

/** All prose of one file. */
export interface Prose {
  readonly comments: readonly Passage[];
  readonly titles: readonly Title[];
  /** String literals of at least three words. */
  readonly messages: readonly Passage[];
}

/** The files under version control that contain prose, relative to the repository. */
export function proseFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '--', ...FOLDERS], { cwd: ROOT, encoding: 'utf8' });
  return listed
    .trim()
    .split('\n')
    .filter((file) => SCRIPTS.has(extname(file)) || extname(file) in LINE_COMMENT);
}

/** Reads the comments, titles and messages of a file. @throws Error if the file cannot be parsed */
export function proseOf(file: string, text = readFileSync(join(ROOT, file), 'utf8')): Prose {
  const marker = LINE_COMMENT[extname(file)];
  if (marker !== undefined) return { comments: lineComments(file, text, marker), titles: [], messages: [] };
  const { program, comments, errors } = parseSync(file, text);
  if (errors[0] !== undefined) throw new Error(`${file} cannot be parsed: ${errors[0].message}`);
  const passageOf = passagesOf(file, text);
  return {
    comments: commentBlocks(comments, text, passageOf),
    titles: titlesIn(program, text, passageOf),
    messages: messagesIn(program, passageOf),
  };
}

type PassageOf = (start: number, end: number, value: string) => Passage;

function passagesOf(file: string, text: string): PassageOf {
  const lineOf = (offset: number): number => text.slice(0, offset).split('\n').length;
  return (start, end, value) => ({ file, line: lineOf(start), lastLine: lineOf(end), text: plain(value) });
}

/** Joins the lines of a comment into one string, and drops the asterisks. */
function plain(value: string): string {
  return value
    .replaceAll(/^\s*\*+ ?/gm, '')
    .replaceAll(/\s+/g, ' ')
    .trim();
}

/** Groups line comments on consecutive lines into one comment. */
function commentBlocks(comments: readonly Comment[], text: string, passageOf: PassageOf): Passage[] {
  const blocks: { start: number; end: number; value: string; isLine: boolean }[] = [];
  for (const { type, value, start, end } of comments) {
    if (DIRECTIVE.test(value.trim())) continue;
    const last = blocks.at(-1);
    const isLine = type === 'Line';
    if (last?.isLine && isLine && /^\r?\n[ \t]*$/.test(text.slice(last.end, start))) {
      last.value += `\n${value}`;
      last.end = end;
    } else blocks.push({ start, end, value, isLine });
  }
  return blocks.map(({ start, end, value }) => passageOf(start, end, value)).filter(hasWords);
}

function lineComments(file: string, text: string, marker: RegExp): Passage[] {
  const blocks: { line: number; lastLine: number; value: string }[] = [];
  text.split('\n').forEach((content, i) => {
    if (!marker.test(content)) return;
    const value = content.replace(marker, '').replace('*/', '');
    const last = blocks.at(-1);
    if (last?.lastLine === i) {
      last.value += `\n${value}`;
      last.lastLine = i + 1;
    } else blocks.push({ line: i + 1, lastLine: i + 1, value });
  });
  return blocks.map(({ line, lastLine, value }) => ({ file, line, lastLine, text: plain(value) })).filter(hasWords);
}

function hasWords({ text }: Passage): boolean {
  return /\w+\W+\w/.test(text);
}

type Program = ReturnType<typeof parseSync>['program'];
type Constants = ReadonlyMap<string, Node>;

function titlesIn(program: Program, text: string, passageOf: PassageOf): Title[] {
  const titles: Title[] = [];
  const constants = constantsIn(program);
  const chain: { readonly end: number; readonly title: string }[] = [];
  new Visitor({
    CallExpression(call) {
      const [argument] = call.arguments;
      const name = testFunction(call);
      if (argument === undefined || argument.type === 'SpreadElement' || name === undefined) return;
      const title = literal(argument, text);
      if (title === undefined) return;
      while (chain.length > 0 && (chain.at(-1)?.end ?? 0) < call.start) chain.pop();
      const before = chain.map((suite) => `${suite.title} > `).join('');
      const filled = filledIn(title, call.callee, text, constants);
      const rows = filled.map((row) => passageOf(argument.start, argument.end, before + row));
      titles.push({ isSuite: name === 'describe', rows });
      chain.push({ end: call.end, title: filled[0] ?? title });
    },
  }).visit(program);
  return titles;
}

/** The Vitest function that is called, if any: `it` in `it.for(…)(…)`. */
function testFunction({ callee }: CallExpression): string | undefined {
  let root: Expression = callee;
  while (root.type === 'MemberExpression' || root.type === 'CallExpression') {
    root = root.type === 'MemberExpression' ? root.object : root.callee;
  }
  return root.type === 'Identifier' && TEST_FUNCTIONS.has(root.name) ? root.name : undefined;
}

function literal(node: Expression, text: string): string | undefined {
  if (node.type === 'Literal') return typeof node.value === 'string' ? node.value : undefined;
  const isText = node.type === 'TemplateLiteral' || (node.type === 'BinaryExpression' && node.operator === '+');
  return isText ? text.slice(node.start + 1, node.end - 1) : undefined;
}

/**
 * The title for each row of the table in `it.for(table)(title)`. A value that is not a literal is shown as its source
 * text. A placeholder remains if the table is not written in the file.
 */
function filledIn(title: string, callee: Expression, text: string, constants: Constants): string[] {
  const [argument] = callee.type === 'CallExpression' ? callee.arguments : [];
  const table = withoutType(argument);
  const rows = table?.type === 'Identifier' ? constants.get(table.name) : table;
  if (rows?.type !== 'ArrayExpression' || !/[%$]/.test(title)) return [title];
  const shown = (cell: Node | null | undefined, isQuoted = false): string | undefined => {
    if (cell === undefined || cell === null) return undefined;
    if (cell.type === 'Literal')
      return isQuoted && typeof cell.value === 'string' ? JSON.stringify(cell.value) : String(cell.value);
    return abbreviated(text.slice(cell.start, cell.end));
  };
  return rows.elements.map((element, i) => {
    const row = withoutType(element);
    if (row === undefined || row.type === 'SpreadElement') return title;
    const cells = row.type === 'ArrayExpression' ? [...row.elements] : [row];
    const fields = row.type === 'ObjectExpression' ? row.properties : [];
    return title
      .replaceAll('%#', String(i))
      .replaceAll(
        /%(?:\.\d+)?[sdifjo]/g,
        (placeholder) => shown(cells.shift(), /[jo]$/.test(placeholder)) ?? placeholder,
      )
      .replaceAll(/\$(\w+)/g, (placeholder, name: string) => {
        if (/^\d+$/.test(name)) return shown(row.type === 'ArrayExpression' ? row.elements[Number(name)] : row) ?? name;
        const field = fields.find(
          (one) => one.type === 'Property' && one.key.type === 'Identifier' && one.key.name === name,
        );
        return shown(field?.type === 'Property' ? field.value : undefined) ?? placeholder;
      });
  });
}

/** A node of the syntax tree without `as const`, `as T` and `satisfies T`. */
function withoutType(node: Node | null | undefined): Node | undefined {
  const isTyped = node?.type === 'TSAsExpression' || node?.type === 'TSSatisfiesExpression';
  return isTyped ? withoutType(node.expression) : (node ?? undefined);
}

function abbreviated(source: string): string {
  const line = source
    .replaceAll(/\s+/g, ' ')
    .replaceAll("' + '", '')
    .replaceAll(/^'(.*)'$/g, '$1');
  return line.length <= MAX_SOURCE ? line : `${line.slice(0, MAX_SOURCE)}…`;
}

/** The lists that a file assigns to constants, keyed by the constant's name. */
function constantsIn(program: Program): Constants {
  const constants = new Map<string, Node>();
  new Visitor({
    VariableDeclarator({ id, init }) {
      const value = withoutType(init);
      if (id.type === 'Identifier' && value?.type === 'ArrayExpression') constants.set(id.name, value);
    },
  }).visit(program);
  return constants;
}

function messagesIn(program: Program, passageOf: PassageOf): Passage[] {
  const messages: Passage[] = [];
  const add = (start: number, end: number, value: unknown): void => {
    if (typeof value === 'string' && /\w+ \w+ \w/.test(value)) messages.push(passageOf(start, end, value));
  };
  new Visitor({
    Literal: ({ start, end, value }) => add(start, end, value),
    TemplateElement: ({ start, end, value }) => add(start, end, value.cooked),
  }).visit(program);
  return messages;
}
