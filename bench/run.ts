/** `npm run bench`: ratios against the floor, taken in one run, and calls counted. Exits 1 where one misses its budget. */
import { createSecretKey, randomBytes } from 'node:crypto';
import {
  decodeDataRowRecord,
  encodeDataRowRecord,
  MemoryMetastore,
  SessionFactory,
  StaticKms,
  type KeyManagementService,
} from '../src/index.ts';
import { compare } from './compare.ts';
import { CountingMetastore } from './counting-metastore.ts';
import { floorDecrypt, floorEncrypt } from './floor.ts';
import { queueFigures } from './queue.ts';
import { measureHandler } from './handler.ts';

const SIZES = { '64 B': 64, '1 KiB': 1024, '64 KiB': 65_536, '1 MiB': 1_048_576 };
const FLOOR_BUDGET = 0.8;
/** What a door adds to crypto that goes on within it: native keys live longer there, and are costlier to free. */
const QUEUE_BUDGET = 0.5;

let held = 0;
let missed = 0;

function judge(holds: boolean): string {
  if (holds) held += 1;
  else missed += 1;
  return holds ? 'holds' : 'MISSED';
}

async function againstFloor(): Promise<void> {
  const keyfold = new SessionFactory({
    service: 'bench',
    product: 'keyfold',
    metastore: new MemoryMetastore(),
    kms: new StaticKms(randomBytes(32), process.env),
  });
  const session = keyfold.session('partition');
  const parent = createSecretKey(randomBytes(32));
  console.log(`hot library against the floor (1 is the floor's own speed; at least ${FLOOR_BUDGET})`);
  for (const [name, size] of Object.entries(SIZES)) {
    const plaintext = randomBytes(size);
    const record = encodeDataRowRecord(await session.encrypt(plaintext));
    const floorRecord = floorEncrypt(parent, plaintext);
    const encrypt = await compare(
      () => floorEncrypt(parent, plaintext),
      async () => encodeDataRowRecord(await session.encrypt(plaintext)),
    );
    const decrypt = await compare(
      () => floorDecrypt(parent, floorRecord),
      () => session.decrypt(decodeDataRowRecord(record)),
    );
    for (const [what, { ratio, lower, upper, perSecond }] of Object.entries({ encrypt, decrypt })) {
      const spread = `${ratio.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)})`;
      console.log(`  ${name.padEnd(7)} ${what}  ${spread}  ${judge(ratio >= FLOOR_BUDGET)}  ${perSecond.toFixed(0)}/s`);
    }
  }
}

function count(what: string, counted: string, budget: string): void {
  console.log(`  ${what}: ${counted}  ${judge(counted === budget)}`);
}

async function countCalls(): Promise<void> {
  const metastore = new CountingMetastore();
  const real = new StaticKms(randomBytes(32), process.env);
  let kmsCalls = 0;
  const kms: KeyManagementService = {
    wrap: (key) => ((kmsCalls += 1), real.wrap(key)),
    unwrap: (wrapped) => ((kmsCalls += 1), real.unwrap(wrapped)),
  };
  const open = (): SessionFactory => new SessionFactory({ service: 'bench', product: 'keyfold', metastore, kms });
  const one = Buffer.from('x');

  console.log('calls, counted');
  const warm = open();
  await warm.session('first').encrypt(one);
  metastore.take();
  const record = await warm.session('new').encrypt(one);
  count('a new partition under a warm System Key', metastore.take(), '1 Query, 1 Put');

  const sealing = open();
  await sealing.session('first').encrypt(one);
  metastore.take();
  await sealing.session('new').encrypt(one);
  count('encrypt for a known partition, its key cold', metastore.take(), '1 Query');

  const opening = open();
  await opening.session('first').encrypt(one);
  metastore.take();
  await opening.session('new').decrypt(record);
  count('decrypt for a known partition, its key cold', metastore.take(), '1 Get');

  await opening.session('new').decrypt(record);
  await sealing.session('new').encrypt(one);
  count('hot encrypt and decrypt', metastore.take(), 'none');

  const many = open();
  kmsCalls = 0;
  await Promise.all(Array.from({ length: 10_000 }, (_, i) => many.session(`tenant-${i}`).encrypt(one)));
  count('KMS calls for 10,000 partitions in one process', String(kmsCalls), '1');
}

async function throughHandler(): Promise<void> {
  console.log('HTTP handler, from event to answer (1 is the speed of what it is held against)');
  for (const { what, comparison, atLeast } of await measureHandler()) {
    const { ratio, lower, upper } = comparison;
    const spread = `${ratio.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)}), at least ${atLeast.toFixed(2)}`;
    console.log(`  ${what}: ${spread}  ${judge(ratio >= atLeast)}`);
  }
}

async function throughQueue(): Promise<void> {
  const { perSecond, perSecondWithoutCrypto, besideCrypto } = await queueFigures();
  const { ratio, lower, upper } = besideCrypto;
  console.log('SQS, from event to answer, a message with one field of 64 B');
  console.log(`  ${perSecond.toFixed(0)}/s; with the crypto taken out ${perSecondWithoutCrypto.toFixed(0)}/s`);
  const spread = `${ratio.toFixed(2)} (${lower.toFixed(2)} to ${upper.toFixed(2)}), at least ${QUEUE_BUDGET.toFixed(2)}`;
  console.log(
    `  against that and the same crypto by itself, one after the other: ${spread}  ${judge(ratio >= QUEUE_BUDGET)}`,
  );
}

await againstFloor();
await throughHandler();
await throughQueue();
await countCalls();
console.log(`${held} of ${held + missed} budgets hold`);
process.exitCode = missed > 0 ? 1 : 0;
