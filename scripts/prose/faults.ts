import phrases from '../banned-phrases.json' with { type: 'json' };
import { proseOf, type Passage } from './scan.ts';

/** The most columns of a line of comment or Markdown. */
export const WIDTH = 120;

const BANNED = phrases.map(({ pattern, instead }) => ({ banned: new RegExp(pattern, 'i'), instead }));
/** A line that cannot be broken: of a table, or with a link or a word that fills it. */
const UNBREAKABLE = /^\s*\||\]\(|\S{80}/;

/** The folders whose messages a user or an operator reads. */
const MESSAGES = /^(?:src|handlers|local|emulators|deploy)\//;

/** What is wrong with the prose of a source file, each as `file:line: fault`. */
export function faultsIn(file: string, text: string): string[] {
  const { comments, titles, messages } = proseOf(file, text);
  const passages = [...comments, ...titles.flatMap(({ rows }) => rows), ...(MESSAGES.test(file) ? messages : [])];
  // A title also contains those of its suites, so a fault may be found twice.
  return [...new Set([...wideComments(text, comments), ...passages.flatMap(phrasesIn)])];
}

/** The lines of a Markdown file that are too wide, outside of code and tables, each as `file:line: fault`. */
export function wideLines(file: string, text: string): string[] {
  let isCode = false;
  return text.split('\n').flatMap((line, i) => {
    if (/^\s*(?:```|~~~)/.test(line)) isCode = !isCode;
    return isCode || line.length <= WIDTH || UNBREAKABLE.test(line) ? [] : [`${file}:${i + 1}: ${line.length} columns`];
  });
}

function wideComments(text: string, comments: readonly Passage[]): string[] {
  const lines = text.split('\n');
  return comments.flatMap(({ file, line, lastLine }) =>
    lines
      .slice(line - 1, lastLine)
      .flatMap((content, i) => (content.length > WIDTH ? [`${file}:${line + i}: ${content.length} columns`] : [])),
  );
}

function phrasesIn({ file, line, text }: Passage): string[] {
  return BANNED.flatMap(({ banned, instead }) => {
    const [phrase] = banned.exec(text) ?? [];
    return phrase === undefined ? [] : [`${file}:${line}: "${phrase.trim()}": ${instead}`];
  });
}
