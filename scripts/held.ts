/**
 * Records what a refactoring must not change, as files in a folder, and compares two such folders:
 *
 *     npm run build && npm run held -- record DIR
 *     npm run held -- compare DIR OTHER
 *
 * The parts are the types of each entry of the package, the files of each function's zip, the functions' results, logs,
 * metrics and audit lines, and the output of the CLI. Committed files that `npm run check` or `npm test` checks are not
 * recorded, because git already shows their changes: the test vectors, docs/openapi.json, events/ and the reviewed
 * templates in test/integration/infra/reviewed/.
 */
import { spawnSync } from 'node:child_process';
import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { packageTypes, zipFiles } from './held/package-files.ts';
import { observeFunctions } from './held/functions.ts';

const USAGE = 'usage: npm run held -- record DIR | compare DIR OTHER';

/** Writes all parts into a folder that is empty or does not exist. */
async function record(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true });
  if ((await readdir(folder)).length > 0) throw new Error(`${folder} is not empty.`);
  const parts = {
    ...(await packageTypes()),
    'zip-files.txt': await zipFiles(),
    ...(await observeFunctions()),
  };
  for (const [name, lines] of Object.entries(parts)) await writeFile(join(folder, name), `${lines.join('\n')}\n`);
}

/** Prints the differences of two folders. Returns the exit code of `git diff`: 0 if there are none, 1 if there are. */
function compare(folder: string, other: string): number {
  const { status } = spawnSync('git', ['diff', '--no-index', '--', folder, other], { stdio: 'inherit' });
  return status ?? 2;
}

const [command, folder, other] = process.argv.slice(2);
if (command === 'record' && folder !== undefined && other === undefined) await record(folder);
else if (command === 'compare' && folder !== undefined && other !== undefined)
  process.exitCode = compare(folder, other);
else {
  console.error(USAGE);
  process.exitCode = 2;
}
