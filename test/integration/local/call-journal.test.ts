import { expect, it } from 'vitest';
import { CallJournal, type JournalCall } from '../../../local/call-journal.ts';

function callOf(keyId: string): JournalCall {
  return { service: 'DynamoDB', region: null, action: 'GetItem', keyId, outcome: 'ok' };
}

it('the journal returns the calls since a position, oldest first', () => {
  const journal = new CallJournal();
  journal.note(callOf('1'));
  const { position } = journal;
  for (const keyId of ['2', '3']) journal.note(callOf(keyId));
  expect(journal.since(position)).toEqual([callOf('2'), callOf('3')]);
  expect(journal.since(0)).toHaveLength(3);
  expect(journal.since(journal.position)).toEqual([]);
});

it('the journal keeps 10,000 calls, then drops the older half, and its positions stay valid', () => {
  const journal = new CallJournal();
  for (let i = 1; i <= 10_000; i += 1) journal.note(callOf(String(i)));
  expect(journal.since(0)).toHaveLength(10_000);
  journal.note(callOf('10001'));
  expect(journal.position).toBe(10_001);
  expect(journal.since(10_000)).toEqual([callOf('10001')]);
  expect(journal.since(0)).toHaveLength(5001);
  expect(journal.since(0)[0]).toEqual(callOf('5001'));
});
