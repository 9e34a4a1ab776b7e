/**
 * `npm run deploy:keys`, `deploy:table`, `deploy:roles` and `deploy`: say what they would do, and with `--yes` do it.
 */
import { deploy } from './deploy.ts';

try {
  await deploy(process.argv.slice(2), console.log);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
