import { expect, it } from 'vitest';
import { encodeKeyRecord } from '../../../../src/metastore/sql/key-record.ts';
import { SqlErasureTables } from '../../../../src/metastore/sql/sql-erasure-tables.ts';
import { keyRecord } from '../../../../src/testing/key-record.ts';

const ROW = keyRecord('_IK_tenant_svc_prod', 60);

it.for([
  ['deletes a row that still cannot be read', 'not JSON', ['not JSON']],
  ['leaves a row alone that has become readable since it was read', encodeKeyRecord(ROW), []],
] as const)('an erasure in SQL %s', async ([, present, deleted]) => {
  const removed: string[] = [];
  const table = {
    select: async () => [{ created: ROW.created, text: present }],
    remove: async (_id: string, _created: number, text: string) => void removed.push(text),
  };
  const tables = new SqlErasureTables({ table, called: 'PostgreSQL' } as never, { service: 'svc', product: 'prod' });
  await tables.at().remove({ id: ROW.id, created: ROW.created, unreadable: 'it is not JSON' });
  expect(removed).toEqual(deleted);
});
