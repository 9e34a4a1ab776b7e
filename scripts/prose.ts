/**
 * Checks the prose of the source: no line of comment is wider than 120 columns, and no comment, test title or message
 * has a phrase of `banned-phrases.json`. Exits 1 and lists the places otherwise.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WIDTH, faultsIn, wideLines } from './prose/faults.ts';
import { proseFiles, ROOT } from './prose/scan.ts';

/** The Markdown files whose source lines are checked for their width. */
const DOCS: readonly string[] = [];

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const faults = [
  ...proseFiles().flatMap((file) => faultsIn(file, read(file))),
  ...DOCS.flatMap((file) => wideLines(file, read(file))),
];
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else console.log(`Prose: no banned phrase, no comment wider than ${WIDTH} columns.`);
