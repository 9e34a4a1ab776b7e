import {
  MemoryMetastore,
  SessionFactory,
  type EnvelopeKeyRecord,
  type KeyManagementService,
} from '../../../src/index.ts';
import { DAY_MS, noDeadline } from '../../support/fakes.ts';
import { HOME, NAMES, payloadOf, type Returned, type Task } from './job.ts';
import { REGIONS, type KillFixture } from './fixture.ts';

/** The state of the service before a process is killed. */
export interface Past {
  readonly rows: readonly EnvelopeKeyRecord[];
  /** The records that callers already received. */
  readonly returned: readonly Returned[];
  /** The regions that can decrypt all of these records. */
  readonly opensIn: readonly string[];
}

/** The work in which a process is killed. */
export interface Scenario {
  readonly name: string;
  readonly task: Task;
  readonly past: (world: KillFixture) => Promise<Past>;
  /** The requests of a process that is not killed, sorted because some of them are concurrent. */
  readonly steps: readonly string[];
}

const [, EAST, DUBLIN] = REGIONS;
const ENCRYPT: Task = { encryptFor: ['p', 'q'] };
const A_NEW_SYSTEM_KEY = [`Encrypt ${DUBLIN}`, `Encrypt ${EAST}`, `GenerateDataKey ${HOME}`];

/** The scenarios of the kill test. */
export const SCENARIOS: readonly Scenario[] = [
  {
    name: 'creating the first System Key and Intermediate Keys',
    task: ENCRYPT,
    past: () => Promise.resolve({ rows: [], returned: [], opensIn: REGIONS }),
    steps: [...A_NEW_SYSTEM_KEY, 'PutItem', 'PutItem', 'PutItem', 'Query', 'Query', 'Query'],
  },
  {
    name: 'creating Intermediate Keys under an existing System Key',
    task: ENCRYPT,
    past: (world) => pastOf(world, { ageMs: 0, partitions: ['other'] }),
    steps: [`Decrypt ${HOME}`, 'PutItem', 'PutItem', 'Query', 'Query', 'Query'],
  },
  {
    name: 'replacing expired keys',
    task: ENCRYPT,
    past: (world) => pastOf(world, { ageMs: 91 * DAY_MS, partitions: ['p', 'q'] }),
    steps: [...A_NEW_SYSTEM_KEY, 'PutItem', 'PutItem', 'PutItem', 'Query', 'Query', 'Query'],
  },
  {
    name: 'maintaining a System Key that lacks one wrap, has an outdated wrap, and needs a successor',
    task: 'maintenance',
    past: async (world) => {
      // The wrap in the home region names the former key, as a wrap does once the alias points to a new key.
      const keys = { [HOME]: world.formerKey, [EAST]: world.keys[EAST] ?? '' };
      return pastOf(world, { ageMs: 85 * DAY_MS, partitions: ['p', 'q'], keys });
    },
    steps: [
      ...['Decrypt', 'Encrypt'].flatMap((action) => [`${action} ${DUBLIN}`, `${action} ${EAST}`, `${action} ${HOME}`]),
      `Decrypt ${HOME}`,
      ...A_NEW_SYSTEM_KEY,
      'PutItem',
      'Query',
      'Query',
      'UpdateItem',
    ].toSorted(),
  },
];

/**
 * Encrypts once for each partition. The keys have the given age, and are wrapped with the given KMS keys. Returns the
 * rows and records.
 */
async function pastOf(
  world: KillFixture,
  { ageMs, partitions, keys = world.keys }: { ageMs: number; partitions: string[]; keys?: Record<string, string> },
): Promise<Past> {
  const metastore = new MemoryMetastore();
  const now = (): number => Date.now() - ageMs;
  const real = world.kms(keys);
  // Call the KMS without a deadline. The session's clock is behind, and so are its deadlines. The KMS uses real time,
  // so the deadlines would already have passed.
  const kms: KeyManagementService = {
    wrap: (key) => real.wrap(key, noDeadline()),
    unwrap: (wrapped) => real.unwrap(wrapped, noDeadline()),
  };
  const keyfold = new SessionFactory({ ...NAMES, metastore, kms, now });
  const returned: Returned[] = [];
  for (const partition of partitions) {
    returned.push({ partition, record: await keyfold.session(partition).encryptToJson(payloadOf(partition)) });
  }
  const ids = ['_SK_orders_shop', ...partitions.map((partition) => `_IK_${partition}_orders_shop`)];
  const rows = await Promise.all(ids.map((id) => metastore.rows(id as never)));
  return { rows: rows.flat(), returned, opensIn: Object.keys(keys) };
}
