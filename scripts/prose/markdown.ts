import { execFileSync } from 'node:child_process';
import { ROOT, type Passage } from './scan.ts';

/** The changelog, and pages that a script generates from doc comments. */
const EXCLUDED = /^(?:CHANGELOG\.md$|docs\/reference\/library\/)/;

/** The beginning of a passage: a heading, a list item, or a table row. */
const BEGINS = /^\s*(?:#+ |[-*] |\d+\. |\|)/;

/** The tracked Markdown files, as paths from the repository's folder. */
export function markdownFiles(): string[] {
  const listed = execFileSync('git', ['ls-files', '--', '*.md'], { cwd: ROOT, encoding: 'utf8' });
  return listed
    .trim()
    .split('\n')
    .filter((file) => !EXCLUDED.test(file));
}

/** The lines of a Markdown file that are outside of code blocks, with their numbers from 1. */
export function proseLines(text: string): { readonly line: number; readonly content: string }[] {
  let isCode = false;
  return text.split('\n').flatMap((content, i) => {
    const isFence = /^\s*(?:```|~~~)/.test(content);
    if (isFence) isCode = !isCode;
    return isCode || isFence ? [] : [{ line: i + 1, content }];
  });
}

/** The paragraphs, headings, list items and table rows of a Markdown file. */
export function markdownPassages(file: string, text: string): Passage[] {
  const passages: { file: string; line: number; lastLine: number; text: string }[] = [];
  for (const { line, content } of proseLines(text)) {
    if (content.trim() === '' || content.startsWith('<!--')) continue;
    const last = passages.at(-1);
    const isTable = content.startsWith('|');
    const continues = last?.lastLine === line - 1 && !BEGINS.test(content) && !last.text.startsWith('#');
    if (last !== undefined && continues && !isTable)
      Object.assign(last, { text: `${last.text} ${content.trim()}`, lastLine: line });
    else passages.push({ file, line, lastLine: line, text: content.trim() });
  }
  return passages;
}
