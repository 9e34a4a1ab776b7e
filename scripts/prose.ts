/**
 * Checks the comments of the code: `npm run check:prose`. A comment line has at most 120 columns, and no comment contains a phrase that
 * `banned-phrases.json` lists.
 */
import { readFileSync } from 'node:fs';
import { execFileSync } from 'node:child_process';
import phrases from './banned-phrases.json' with { type: 'json' };

const MAX_COLUMNS = 120;
const FILES = /^(?:src|handlers|emulators|local|deploy|scripts|bench|test|tools|\.ci)\/.*\.(?:ts|js|cjs|mjs)$/;
const COMMENT = /^\s*(?:\/\*\*?|\*|\/\/)/;
const banned = new RegExp(`\\b(?:${phrases.join('|')})\\b`, 'i');

const faults: string[] = [];
const files = execFileSync('git', ['ls-files'], { encoding: 'utf8' }).split('\n');
for (const file of files.filter((name) => FILES.test(name))) {
  for (const [at, line] of readFileSync(file, 'utf8').split('\n').entries()) {
    if (!COMMENT.test(line)) continue;
    const [phrase] = banned.exec(line) ?? [];
    if (line.length > MAX_COLUMNS) faults.push(`${file}:${at + 1} has a comment line of ${line.length} columns`);
    if (phrase !== undefined) faults.push(`${file}:${at + 1} has "${phrase}" in a comment`);
  }
}
for (const fault of faults) console.error(fault);
process.exitCode = faults.length > 0 ? 1 : 0;
