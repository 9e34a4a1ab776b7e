/**
 * Draws random comments, test titles and sentences of the documents, and prints each with its place, so that a reader
 * can rate it out of context.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { Seeded } from '../test/support/seeded.ts';
import { markdownFiles, markdownPassages } from './prose/markdown.ts';
import { proseFiles, proseOf, ROOT, type Passage } from './prose/scan.ts';
import { readOptions } from './read-options.ts';

const HELP = `npm run prose:draw -- [options]
Draws random comments, test titles and sentences of the documents.

  --comments N   how many comments; default: 60
  --titles N     how many test titles; default: 60
  --sentences N  how many sentences; default: 60
  --seed N       draws other passages than with another number; default: 1`;

const values = readOptions(HELP, {
  comments: { type: 'string', default: '60' },
  titles: { type: 'string', default: '60' },
  sentences: { type: 'string', default: '60' },
  seed: { type: 'string', default: '1' },
});
const random = new Seeded(Number(values.seed));
const prose = proseFiles().map((file) => proseOf(file));
const tests = prose.flatMap(({ titles }) => titles).filter(({ isSuite }) => !isSuite);

show(
  'Comments',
  prose.flatMap(({ comments }) => comments),
  Number(values.comments),
);
// If a test runs once per row of a table, the draw takes one of its titles.
show(
  'Test titles',
  tests.map(({ rows }) => random.of(rows)),
  Number(values.titles),
);
show('Sentences of the documents', markdownFiles().flatMap(sentencesOf), Number(values.sentences));

/** The sentences of a document that have more than three words, except in headings and tables. */
function sentencesOf(file: string): Passage[] {
  const passages = markdownPassages(file, readFileSync(join(ROOT, file), 'utf8'));
  return passages
    .filter(({ text }) => !/^(?:#|\|)/.test(text))
    .flatMap(({ text, line, lastLine }) =>
      text
        .split(/(?<=[.?!]\**) (?=[^a-z])/)
        .filter((sentence) => sentence.split(' ').length > 3)
        .map((sentence) => ({ file, line, lastLine, text: sentence })),
    );
}

function show(heading: string, passages: readonly Passage[], count: number): void {
  console.log(`${heading}: ${count} of ${passages.length}, seed ${values.seed}\n`);
  const left = [...passages];
  for (let i = 1; i <= count && left.length > 0; i += 1) {
    const [passage] = left.splice(random.below(left.length), 1);
    console.log(`${i}. ${passage?.file}:${passage?.line}\n   ${passage?.text}\n`);
  }
}
