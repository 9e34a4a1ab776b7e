import type { OperatorConfig } from '../config/operator-config.ts';
import { SEAL_OVERHEAD_BYTES } from '../crypto/aead.ts';
import type { KeyTable } from '../maintenance/key-table.ts';
import { looksCompact } from '../records/compact-record.ts';
import { KeyNaming } from '../records/ids.ts';
import { readAnyRecord, type AnyRecord } from './any-record.ts';
import { EXIT, type CliDependencies } from './dependencies.ts';
import { textOf } from './input.ts';
import { viewOf, wrapsOf, type KeyView, type WrapsView } from './key-view.ts';
import { formatFields, isoOf, jsonLines } from './text.ts';

/** Options of `keyfold inspect`. */
export interface InspectRequest {
  /** A record, the name of a file, or `-` for standard input. */
  readonly source: string;
  /** Looks up the key rows that the record needs. */
  readonly chain: boolean;
  readonly json: boolean;
}

/** A record as `--json` prints it. It contains neither data nor keys, not even sealed ones. */
interface RecordView {
  readonly form: AnyRecord['form'];
  readonly intermediateKey: { readonly id: string; readonly created: number; readonly createdAt: string | null };
  /** The partition, if the record belongs to the configured service. */
  readonly partition: string | null;
  readonly dataRowKey: { readonly created: number; readonly createdAt: string | null };
  /** Whether the record opens only with its context. */
  readonly bound: boolean;
  readonly sealedBytes: number;
  readonly plaintextBytes: number;
}

/** A key row that a record needs. */
type ChainView = (KeyView & Partial<WrapsView>) | { readonly id: string; readonly created: number; state: 'absent' };

/**
 * Runs `keyfold inspect`.
 * @returns the exit code: a failure if a key row that the record needs is absent or cannot be read
 * @throws KeyfoldError `InvalidRequest` if there is no record, or `MetastoreUnavailable` if the table fails
 */
export async function inspectRecord(
  { source, chain, json }: InspectRequest,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<number> {
  const begun = source.trimStart();
  const isRecord = looksCompact(begun) || begun.startsWith('{');
  const record = readAnyRecord(isRecord ? source : await textOf(source, dependencies));
  const view = recordView(record, config);
  const rows = chain ? await chainOf(view, config, dependencies) : [];
  const { terminal } = dependencies;
  if (json) terminal.out(jsonLines(chain ? { ...view, chain: rows } : view));
  else {
    terminal.out(formatFields(fieldsOf(view)));
    for (const row of rows) terminal.out(formatFields(chainFields(row)));
  }
  return rows.some(({ state }) => state === 'absent' || state === 'unreadable') ? EXIT.failed : EXIT.ok;
}

function recordView({ form, record: { key, proof, data } }: AnyRecord, { names }: OperatorConfig): RecordView {
  const { created, parent } = key;
  return {
    form,
    intermediateKey: { ...parent, createdAt: isoOf(parent.created) ?? null },
    partition: (names && new KeyNaming(names).partitionOf(parent.id)) ?? null,
    dataRowKey: { created, createdAt: isoOf(created) ?? null },
    bound: proof !== undefined,
    sealedBytes: data.length,
    plaintextBytes: Math.max(data.length - SEAL_OVERHEAD_BYTES, 0),
  };
}

const FORMS: Readonly<Record<AnyRecord['form'], string>> = {
  object: 'JSON object',
  bytes: 'compact string of bytes',
  json: 'compact string of a field of a document',
};

function fieldsOf(view: RecordView): [string, string][] {
  const { form, intermediateKey, partition, dataRowKey, bound, sealedBytes, plaintextBytes } = view;
  return [
    ['form', FORMS[form]],
    ['key', `${intermediateKey.id} ${intermediateKey.created} (${intermediateKey.createdAt ?? '?'})`],
    ['partition', partition ?? 'of another service, or no service is set'],
    ['sealed', `${dataRowKey.createdAt ?? '?'}, when its Data Row Key was made`],
    ['context', bound ? 'bound: it opens only with its context' : 'none'],
    ['size', `${plaintextBytes} bytes of plaintext, ${sealedBytes} sealed`],
  ];
}

async function chainOf(
  { intermediateKey }: RecordView,
  config: OperatorConfig,
  dependencies: CliDependencies,
): Promise<ChainView[]> {
  const table = dependencies.openTable(config.metastore);
  const lookUp = (key: { id: string; created: number }): Promise<ChainView> =>
    rowView(table, key, config, dependencies);
  const key = await lookUp(intermediateKey);
  const parent = 'parent' in key ? key.parent : null;
  return parent === null ? [key] : [key, await lookUp(parent)];
}

async function rowView(
  table: KeyTable,
  { id, created }: { readonly id: string; readonly created: number },
  { policy }: OperatorConfig,
  { now }: CliDependencies,
): Promise<ChainView> {
  const row = await table.find(id, created);
  return row === undefined ? { id, created, state: 'absent' } : { ...viewOf(row, policy, now()), ...wrapsOf(row) };
}

function chainFields(row: ChainView): [string, string][] {
  const wraps = ('wraps' in row && row.wraps) || [];
  return [
    ['', ''],
    ['row', `${row.id} ${row.created ?? '?'}`],
    ['state', 'unreadable' in row ? `${row.state}: ${row.unreadable}` : row.state],
    ...wraps.map(({ region, arn }): [string, string] => [`wrapped in ${region}`, arn]),
    ...('wrappedBy' in row && row.wrappedBy ? [['wrapped by', row.wrappedBy] as [string, string]] : []),
  ];
}
