import phrases from '../banned-phrases.json' with { type: 'json' };
import { markdownPassages, proseLines } from './markdown.ts';
import { proseOf, type Passage } from './scan.ts';

/** The maximum length of a line in a comment or in Markdown, in columns. */
export const WIDTH = 120;

const BANNED = phrases.map(({ pattern, instead }) => ({ banned: new RegExp(pattern, 'i'), instead }));
/** A line that cannot be broken: it is part of a table, or contains a link or a very long word. */
const UNBREAKABLE = /^\s*\||\]\(|\S{80}/;

/** The folders whose messages users or operators read. */
const MESSAGES = /^(?:src|handlers|local|emulators|deploy)\//;

/** Lists the faults in a source file's prose, each as `file:line: fault`. */
export function faultsIn(file: string, text: string): string[] {
  const { comments, titles, messages } = proseOf(file, text);
  const passages = [...comments, ...titles.flatMap(({ rows }) => rows), ...(MESSAGES.test(file) ? messages : [])];
  // A title contains the titles of its suites, so the same fault may be found several times.
  return [...new Set([...wideComments(text, comments), ...passages.flatMap(phrasesIn)])];
}

/** Lists the faults in a Markdown file's prose, outside of code. Lines of tables may be long. */
export function markdownFaultsIn(file: string, text: string): string[] {
  const wide = proseLines(text).filter(({ content }) => content.length > WIDTH && !UNBREAKABLE.test(content));
  const prose = text.replaceAll(/`[^`\n]+`/g, '`code`');
  return [
    ...wide.map(({ line, content }) => `${file}:${line}: ${content.length} columns`),
    ...markdownPassages(file, prose).flatMap(phrasesIn),
  ];
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
