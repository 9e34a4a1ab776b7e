/**
 * Writes the tables of docs/explanation/costs.md from scripts/costs/prices.json: `npm run costs`. With `--check` it
 * writes nothing, and exits with 1 if the document's tables differ.
 */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ASSUMED, PRICES } from './costs/given.ts';
import given from './costs/prices.json' with { type: 'json' };
import { assumptionsTable, costsTable, quotaTable } from './costs/tables.ts';
import { writeGeneratedBlock } from './generated-block.ts';

const file = join(import.meta.dirname, '..', 'docs', 'explanation', 'costs.md');
const sources = `Prices of ${given.region}, looked up on ${given.lookedUp}:\n\n${Object.values(given.sources)
  .map((source) => `- ${source}`)
  .join('\n')}`;
const blocks = {
  costs: `${costsTable(PRICES, ASSUMED)}\n\n${sources}\n\n${assumptionsTable(given.assumptions)}`,
  'kms-quota': quotaTable(ASSUMED, given.kmsQuotas.perSecond, given.apiGatewayQuota),
};

for (const [name, markdown] of Object.entries(blocks)) {
  if (!process.argv.includes('--check')) await writeGeneratedBlock(file, name, markdown);
  else if (!(await readFile(file, 'utf8')).includes(`<!-- ${name} -->\n\n${markdown}\n\n<!-- /${name} -->`)) {
    console.error(
      `docs/explanation/costs.md is out of date between <!-- ${name} -->: npm run costs writes it from prices.json.`,
    );
    process.exitCode = 1;
  }
}
