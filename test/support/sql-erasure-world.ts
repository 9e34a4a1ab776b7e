/** A key table in an SQL database, an operator who erases a partition, and services that use the table. */
import { expect } from 'vitest';
import { SessionFactory, StaticKms, type DataRowRecord, type KeyId } from '../../src/index.ts';
import { codeOf, MINUTE_MS, noDeadline } from './fakes.ts';
import { OperatorFixture, type CliRun } from './operator.ts';
import type { SqlDatabase, SqlKind } from './sql-database.ts';

export const NAMES = { service: 'svc', product: 'prod' };
export const PAYLOAD = Buffer.from('payload, and \u{1f511}');
export const idOf = (partition: string): KeyId => `_IK_${partition}_${NAMES.service}_${NAMES.product}` as KeyId;
/** What {@link answers} returns for an erased partition. */
export const ERASED = ['PartitionErased', 'PartitionErased', 'PartitionErased'];

/** The address of the database, for the command and for Asherah Rust. */
export function urlOf(kind: SqlKind, { port }: SqlDatabase, user = 'keyfold'): string {
  const at = `${user}@127.0.0.1:${port}`;
  return kind === 'PostgreSQL' ? `postgres://${at}/postgres` : `mysql://${at}/test`;
}

interface WorldOptions {
  readonly zone?: string;
  readonly types?: Parameters<SqlDatabase['createTable']>[0];
  readonly masterKey?: Buffer;
}

/** A key table in a database with the given time zone, an operator, and records of one partition under two keys. */
export async function setUpErasure(kind: SqlKind, database: SqlDatabase, world: WorldOptions = {}) {
  const { zone = kind === 'PostgreSQL' ? 'UTC' : '+00:00', types = {}, masterKey = Buffer.alloc(32, 7) } = world;
  await database.setTimeZone(zone);
  await database.createTable(types);
  const { metastore, close } = database.open();
  const operator = OperatorFixture.at('http://127.0.0.1:9');
  const { clock } = operator;
  // Set the service's clock back. Asherah uses the true time, so Asherah's new keys get later dates than the service's
  // keys.
  clock.nowMs = Date.now() - 120 * MINUTE_MS;
  const service = (): SessionFactory =>
    new SessionFactory({ ...NAMES, metastore, kms: new StaticKms(masterKey, {}), now: clock.now });
  const user = { name: 'keyfold' };
  const keyfold = (...args: string[]): Promise<CliRun> =>
    operator.keyfold(args, {
      KEYFOLD_SERVICE: NAMES.service,
      KEYFOLD_PRODUCT: NAMES.product,
      KEYFOLD_STATIC_MASTER_KEY_HEX: masterKey.toString('hex'),
      KEYFOLD_METASTORE_URL: urlOf(kind, database, user.name),
      KEYFOLD_DYNAMODB_ENDPOINT: undefined,
    });
  const erase = (...options: string[]): Promise<CliRun> =>
    keyfold('partitions', 'erase', 'tenant', '--reason', 'x', '--confirm', 'tenant', ...options);
  const first = await service().session('tenant').encrypt(PAYLOAD);
  await keyfold('keys', 'revoke', idOf('tenant'), 'latest', '--yes');
  clock.advance(2 * MINUTE_MS);
  const records = [first, await service().session('tenant').encrypt(PAYLOAD)];
  const other = await service().session('other').encrypt(PAYLOAD);
  return { database, user, metastore, close, operator, clock, service, keyfold, erase, records, other };
}

export type ErasureWorld = Awaited<ReturnType<typeof setUpErasure>>;

function answerOf(work: Promise<unknown>, done: string): Promise<string> {
  return work.then(
    () => done,
    () => codeOf(work),
  );
}

/**
 * Opens each record of the partition in a cold process, and then seals in another cold process. Returns the outcomes.
 * Also checks that another partition's record opens.
 */
export async function answers({ service, records, other }: ErasureWorld): Promise<string[]> {
  const open = (partition: string, record: DataRowRecord): Promise<string> =>
    answerOf(service().session(partition).decrypt(record), 'opened');
  expect(await open('other', other)).toBe('opened');
  const opened = await Promise.all(records.map((record) => open('tenant', record)));
  return [...opened, await answerOf(service().session('tenant').encrypt(PAYLOAD), 'sealed')];
}

/** The report of `partitions erase --status`. */
export async function status({ erase }: ErasureWorld): Promise<Record<string, unknown>> {
  return JSON.parse((await erase('--status', '--json')).stdout) as Record<string, unknown>;
}

/** The dates in the key records of the partition, latest first. */
export async function dates({ metastore }: ErasureWorld, partition = 'tenant'): Promise<(number | undefined)[]> {
  return (await metastore.rows(idOf(partition), noDeadline())).map(({ created }) => created);
}
