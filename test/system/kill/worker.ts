/**
 * A process that does one job, to be killed at it. Each record is written to standard output as soon as its caller has
 * it, `{"done":true}` last. It then lives on, until it is killed or its standard input ends: it never outlives the
 * tests.
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

/** In one write that has ended before anything else is done. */
function say(said: Said): void {
  writeSync(1, `${JSON.stringify(said)}\n`);
}
