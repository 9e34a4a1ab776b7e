import assert from 'node:assert/strict';
import type { EnvelopeKeyRecord, Metastore } from '../envelope/ports.ts';
import type { ContractCase, Opener } from './contract-case.ts';
import { noDeadline } from '../async/deadline.ts';
import { keyMeta, keyRecord } from './key-record.ts';
import { mustEqual } from './must-equal.ts';

const deadline = noDeadline();

/** IDs that some collation, file system or pattern could confuse with another ID of the list. */
const SIMILAR_IDS = [
  '_IK_tenant_ids',
  '_IK_Tenant_ids',
  '_IK_TENANT_ids',
  '_IK_t\u00e9nant_ids',
  '_IK_te\u0301nant_ids',
  '_IK_\uff54enant_ids',
  '_IK_ten\u0131nt_ids',
  '_IK_tenant_ids ',
  '_IK_tenant_ids\t',
  '_IK_tenant_ids\u200b',
  '_IK_ten_nt_ids',
  '_IK_ten%nt_ids',
  '_IK_ten*nt_ids',
  '_IK_ten/nt_ids',
  '_IK_ten\\nt_ids',
  '_IK_../tenant_ids',
  '_IK_ten\u0027nt_ids',
  '_IK_ten"nt_ids',
  '_IK_ten\nnt_ids',
  '_IK_stra\u00dfe_ids',
  '_IK_strasse_ids',
  '_IK_\u{1f511}_ids',
];

/** The cases about IDs and dates that a store may confuse, truncate or round. */
export function idAndDateCases(open: Opener<Metastore>, longId: string, lastDate: number): ContractCase[] {
  return [
    {
      name: 'loads a record with a long ID that contains control and format characters',
      run: async () => {
        const metastore = await open();
        const record = keyRecord(longId, 60, { parent: keyMeta('_SK_long', 60) });
        assert.equal(await metastore.store(record, deadline), 'stored');
        mustEqual(await metastore.load(record.id, record.created, deadline), record);
        mustEqual(await metastore.loadLatest(record.id, deadline), record);
        const id = `${longId.slice(0, -1)}${longId.endsWith('x') ? 'y' : 'x'}`;
        await mustKeepApart(metastore, [keyRecord(id, 60, { encryptedKey: Buffer.from('another') })]);
        mustEqual(await metastore.load(record.id, record.created, deadline), record);
      },
    },
    {
      name: 'keeps IDs apart that differ only in case, in Unicode normalisation or in one character',
      run: async () => {
        const records = SIMILAR_IDS.map((id) => keyRecord(id, 60, { encryptedKey: Buffer.from(`key of ${id}`) }));
        await mustKeepApart(await open(), records);
      },
    },
    {
      name: 'keeps dates exactly, in order, up to the last one',
      run: async () => {
        const metastore = await open();
        const { id } = keyMeta('_SK_dates', 0);
        const dates = [lastDate - 1, 2 ** 31 - 1, lastDate, 2 ** 31, 2 ** 32 + 1, 86_400];
        const possible = [...new Set(dates)].filter((created) => created <= lastDate);
        const rows = possible.map((created) => keyRecord(id, created, { parent: keyMeta('_SK_parent', lastDate) }));
        for (const row of rows) assert.equal(await metastore.store(row, deadline), 'stored');
        for (const row of rows) mustEqual(await metastore.load(id, row.created, deadline), row);
        const [last, previous] = rows.toSorted((a, b) => b.created - a.created);
        mustEqual(await metastore.loadLatest(id, deadline), last);
        const recent = await metastore.loadRecent?.(id, keyMeta('', lastDate - 1).created, deadline);
        if (recent !== undefined) mustEqual(recent[0], previous);
      },
    },
  ];
}

/** Checks that each record is stored under its own ID, and is found only under that ID. */
async function mustKeepApart(metastore: Metastore, records: readonly EnvelopeKeyRecord[]): Promise<void> {
  for (const record of records) {
    const shown = JSON.stringify(record.id);
    assert.equal(await metastore.loadLatest(record.id, deadline), undefined, `${shown} must not find another ID`);
    assert.equal(await metastore.store(record, deadline), 'stored', `${shown} must not be another ID`);
  }
  for (const record of records) {
    const { id, created } = record;
    mustEqual(await metastore.load(id, created, deadline), record);
    mustEqual(await metastore.loadLatest(id, deadline), record);
    const recent = await metastore.loadRecent?.(id, created, deadline);
    assert.ok(recent === undefined || recent.length === 1, 'loadRecent must return the rows of this ID only');
  }
}
