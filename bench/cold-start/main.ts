/**
 * `npm run cold-start`: measures cold starts of the API function under Lambda's runtime emulator. It compares the
 * bundle of `npm run build` with a default esbuild bundle. It exits with 1 if a figure misses its budget.
 */
import { join } from 'node:path';
import { writeGeneratedBlock } from '../../scripts/generated-block.ts';
import { readOptions } from '../../scripts/read-options.ts';
import { BUDGETS } from '../budgets.ts';
import { judge, sectionText } from '../verdict.ts';
import { figuresOf } from './figures.ts';
import { measureColdStarts } from './measure.ts';
import { bundleSizes } from './sizes.ts';
import { tablesOf } from './tables.ts';

const HELP = `npm run cold-start -- [options]
Measures cold starts of the API function under Lambda's runtime emulator.

  --rounds N  the number of rounds; default: 15
  --write     writes the tables into docs/explanation/performance.md`;

const values = readOptions(HELP, {
  rounds: { type: 'string', default: '15' },
  write: { type: 'boolean', default: false },
});
const starts = await measureColdStarts(Number(values.rounds));
const sizes = await bundleSizes();
const tables = tablesOf(starts, sizes);
console.log(tables);
const result = figuresOf(starts, sizes);
const verdicts = judge(BUDGETS['cold start'], result.figures);
console.log(sectionText('cold start', result, verdicts));
if (values.write) {
  const document = join(import.meta.dirname, '..', '..', 'docs', 'explanation', 'performance.md');
  await writeGeneratedBlock(document, 'cold-start', tables);
}
process.exitCode = verdicts.every(({ holds }) => holds) ? 0 : 1;
