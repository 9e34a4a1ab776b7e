import { expect, it } from 'vitest';
import { MemoryMetastore } from '../../../src/index.ts';
import { dryRunStore } from '../../../src/maintenance/dry-run-store.ts';
import { keyRecord } from '../../../src/testing/key-record.ts';
import { noDeadline } from '../../support/fakes.ts';

it('the store of a dry run reads what the metastore has, and writes nothing', async () => {
  const metastore = new MemoryMetastore();
  const [first, second] = [keyRecord('_SK_a_b', 60), keyRecord('_SK_a_b', 120)];
  await metastore.store(first);
  const dry = dryRunStore(metastore);
  expect(await dry.store(second, noDeadline())).toBe('stored');
  expect(await dry.replaceKey(first, Buffer.from('x'), noDeadline())).toBe('replaced');
  expect(await dry.load(first.id, first.created, noDeadline())).toEqual(first);
  expect(await dry.load(second.id, second.created, noDeadline())).toBeUndefined();
  expect(await dry.loadLatest(first.id, noDeadline())).toEqual(first);
  expect(await dry.loadRecent?.(first.id, first.created, noDeadline())).toEqual(
    (await metastore.loadRecent(first.id, first.created)) ?? [],
  );
  expect(await dry.rows(first.id, noDeadline())).toEqual([first]);
  expect(await metastore.rows(first.id)).toEqual([first]);
});

it('the store of a dry run returns no recent keys if the metastore has no method loadRecent', async () => {
  const dry = dryRunStore({} as MemoryMetastore);
  expect(await dry.loadRecent?.('_SK_a_b' as never, keyRecord('', 60).created, noDeadline())).toEqual([]);
});

it('the store of a dry run passes each deadline to the metastore', async () => {
  const deadlines: unknown[] = [];
  const remember = async (...args: unknown[]): Promise<never[]> => (deadlines.push(args.at(-1)), []);
  const metastore = { load: remember, loadLatest: remember, loadRecent: remember, rows: remember };
  const dry = dryRunStore(metastore as never);
  const { id, created } = keyRecord('_SK_a_b', 60);
  const deadline = noDeadline();
  await dry.load(id, created, deadline);
  await dry.loadLatest(id, deadline);
  await dry.loadRecent?.(id, created, deadline);
  await dry.rows(id, deadline);
  expect(deadlines).toEqual([deadline, deadline, deadline, deadline]);
});
