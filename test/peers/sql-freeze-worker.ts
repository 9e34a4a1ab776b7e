/** The process that sql-freeze.test.ts freezes. On its parent's command, it reads from the key table concurrently. */
import { parseKeyId } from '../../src/index.ts';
import { noDeadline } from '../support/fakes.ts';
import { databaseAt, type SqlKind } from '../support/sql-database.ts';
import type { Outcomes, Round } from '../integration/connections/freeze-worker.ts';

/** This timeout is longer than the test, so that it cannot end a query on a dead connection. */
const queryTimeoutMs = 300_000;
const { ROLE: kind, PORT: port } = process.env;
const { metastore } = databaseAt(kind as SqlKind, Number(port)).open({ connections: 10, queryTimeoutMs });
const id = parseKeyId('_SK_service_product');

function read(): Promise<string> {
  return metastore.loadLatest(id, noDeadline()).then(() => 'ok', String);
}

process.on('message', ({ requests }: Round) => {
  void Promise.all(Array.from({ length: requests }, read)).then((outcomes: Outcomes) => process.send?.(outcomes));
});
process.on('disconnect', () => process.exit());
process.send?.('loaded');
