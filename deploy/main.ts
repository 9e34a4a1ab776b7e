/**
 * `npm run deploy:keys`, `deploy:table`, `deploy:roles` and `deploy`: print the changes that they would make, and make
 * them with `--yes`.
 */
import { deploy } from './deploy.ts';

try {
  await deploy(process.argv.slice(2), console.log);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
