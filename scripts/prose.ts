/**
 * Checks the prose of the source and of the documents: no line of a comment or of Markdown is longer than 120 columns,
 * and no comment, test title, message or paragraph contains a phrase from `banned-phrases.json`. It lists every place
 * that breaks a rule, and then exits with 1.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { WIDTH, faultsIn, markdownFaultsIn } from './prose/faults.ts';
import { markdownFiles } from './prose/markdown.ts';
import { proseFiles, ROOT } from './prose/scan.ts';

const read = (file: string): string => readFileSync(join(ROOT, file), 'utf8');
const faults = [
  ...proseFiles().flatMap((file) => faultsIn(file, read(file))),
  ...markdownFiles().flatMap((file) => markdownFaultsIn(file, read(file))),
];
for (const fault of faults) console.error(fault);
if (faults.length > 0) process.exitCode = 1;
else console.log(`Prose: no banned phrase, no line wider than ${WIDTH} columns.`);
