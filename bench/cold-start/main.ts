/**
 * `npm run cold-start`: cold starts of the api under Lambda's runtime emulator, as built and as esbuild bundles it by itself. Exits 1
 * where a budget is missed. `-- --rounds N`; `-- --write` puts the tables into docs/performance.md.
 */
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { writeGeneratedBlock } from '../../scripts/generated-block.ts';
import { budgeted } from './figures.ts';
import { measureColdStarts } from './measure.ts';
import { bundleSizes } from './sizes.ts';
import { tablesOf } from './tables.ts';

const { values } = parseArgs({
  options: { rounds: { type: 'string', default: '15' }, write: { type: 'boolean', default: false } },
});
const starts = await measureColdStarts(Number(values.rounds));
const sizes = await bundleSizes();
const tables = tablesOf(starts, sizes);
console.log(tables);
let missed = 0;
for (const { name, value, unit, atMost } of budgeted(starts.ratio.value, sizes)) {
  const holds = value <= atMost;
  if (!holds) missed += 1;
  console.log(`${name}: ${value.toFixed(2)} ${unit}, at most ${atMost}: ${holds ? 'holds' : 'MISSED'}`);
}
if (values.write) {
  const document = join(import.meta.dirname, '..', '..', 'docs', 'performance.md');
  await writeGeneratedBlock(document, 'cold-start', tables);
}
process.exitCode = missed > 0 ? 1 : 0;
