/** The Markdown files of the repository, for tests that compare them with the code. */
import { readdirSync, readFileSync } from 'node:fs';
import { join, relative, sep } from 'node:path';

export const ROOT = join(import.meta.dirname, '..', '..');

/** Folders that git ignores, or that contain files by other authors. */
const IGNORED = new Set(['node_modules', 'dist', '.git', '.keyfold', '.peers', '.stryker-tmp', 'coverage']);

/** The paths of the repository's files, relative to its root, with slashes. */
export function repositoryFiles(folder = ROOT): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (IGNORED.has(entry.name)) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? repositoryFiles(path) : [relative(ROOT, path).split(sep).join('/')];
  });
}

export function read(path: string): string {
  return readFileSync(join(ROOT, path), 'utf8');
}

/** The paths of all Markdown files. */
export const MARKDOWN = repositoryFiles().filter((path) => path.endsWith('.md'));

/** A fenced code block. */
export interface CodeBlock {
  readonly file: string;
  /** The line of the opening fence, from 1. */
  readonly line: number;
  /** The language, which is the word after the opening fence. Empty for a block that shows output. */
  readonly language: string;
  /** The word after the language, if any. The block is the content of a file with that name. */
  readonly fileName: string;
  readonly code: string;
  /** The text of the nearest heading, or label in bold, above the block. */
  readonly heading: string;
}

/** The fenced code blocks of a file. If a block is in a list, the indentation is removed. */
export function codeBlocksOf(file: string): CodeBlock[] {
  const blocks: CodeBlock[] = [];
  let heading = '';
  let open: (Pick<CodeBlock, 'line' | 'language' | 'fileName'> & { indent: number; code: string[] }) | undefined;
  for (const [index, line] of read(file).split('\n').entries()) {
    const [, indent = '', language = '', fileName = ''] = /^( *)```(\S*) ?(.*)$/.exec(line) ?? [undefined];
    const isFence = /^ *```/.test(line);
    if (open === undefined && isFence) open = { line: index + 1, indent: indent.length, language, fileName, code: [] };
    else if (open !== undefined && isFence) {
      const { line: at, code, language: its, fileName: name } = open;
      blocks.push({ file, line: at, language: its, fileName: name, code: code.join('\n'), heading });
      open = undefined;
    } else if (open === undefined) heading = /^(?:#+ |\*\*)(.*?)(?:\*\*)?$/.exec(line)?.[1] ?? heading;
    else open.code.push(line.slice(open.indent));
  }
  return blocks;
}

/**
 * The commands in a shell block. Comments are removed, and a command that continues over several lines, such as one
 * with a here-document, becomes one string.
 */
export function commandsOf(code: string): string[] {
  const commands: string[] = [];
  let current = '';
  for (const line of code.replaceAll(/\\\n\s*/g, ' ').split('\n')) {
    current = current === '' ? line : `${current}\n${line}`;
    const [, end] = /<<'(\w+)'$/m.exec(current) ?? [];
    if (end !== undefined && line !== end) continue;
    const withoutComment = current.replace(/(?:^|\s+)# .*$/, '');
    // With an odd number of quotation marks, the command continues on the next line.
    if ((withoutComment.match(/'/g)?.length ?? 0) % 2 === 1) continue;
    commands.push(withoutComment.trim());
    current = '';
  }
  return commands.filter((command) => command !== '');
}
