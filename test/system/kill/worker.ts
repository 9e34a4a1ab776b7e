/**
 * Runs one job in a process that may be killed. It writes each record to standard output when its caller has received
 * it, and `{"done":true}` at the end. Then it waits to be killed, or for the end of its standard input. So it never
 * outlives the tests.
 */
import { writeSync } from 'node:fs';
import { AwsKms, DynamoDbMetastore, SessionFactory, SystemKeyMaintenance } from '../../../src/index.ts';
import { flawedMetastore } from './flawed-metastore.ts';
import { HOME, NAMES, PATIENCE, payloadOf, type Job, type Said } from './job.ts';

process.stdin.resume().on('end', () => process.exit());

const { task, endpoint, tableName, keys, flaw } = JSON.parse(process.argv[2] ?? '') as Job;
const kms = new AwsKms({ keys, preferredRegion: HOME, endpoint, timeouts: PATIENCE });
const table = new DynamoDbMetastore({ endpoint, tableName, region: HOME, ...PATIENCE });
const metastore = flaw === undefined ? table : flawedMetastore(table, flaw);

if (task === 'maintenance') {
  await new SystemKeyMaintenance({ ...NAMES, kms, metastore }).run();
} else {
  const keyfold = new SessionFactory({ ...NAMES, kms, metastore });
  for (const partition of task.encryptFor) {
    say({ partition, record: await keyfold.session(partition).encryptToJson(payloadOf(partition)) });
  }
}
say({ done: true });

/** Writes synchronously, so that the line is out before the job goes on. */
function say(said: Said): void {
  writeSync(1, `${JSON.stringify(said)}\n`);
}
