/**
 * Makes round trips through a client made by openapi-fetch, with the types of openapi-typescript, and prints a report.
 */
import createClient from 'openapi-fetch';
import type { components, paths } from './schema.ts';

type Problem = components['schemas']['Problem'];
type SealedRecord = components['schemas']['SealedRecord'];

const [, , baseUrl = ''] = process.argv;
const client = createClient<paths>({ baseUrl });
const path = { partition: 'tenant-1' };
const plaintext = 'aGVsbG8=';
const document = { id: 7, card: '4111' };

/** The data of a response. @throws Error if the request failed */
function dataOf<T>({ data, error }: { data?: T; error?: Problem }): T {
  if (data === undefined) throw new Error(`it failed: ${error?.code}`);
  return data;
}

/** The status and the code of a failure. */
function failureOf({ error, response }: { error?: Problem; response: Response }): [number, string | undefined] {
  return [response.status, error?.code];
}

async function encrypt(format?: 'compact'): Promise<SealedRecord> {
  const body = format === undefined ? { plaintext } : { plaintext, format };
  return dataOf(await client.POST('/v1/partitions/{partition}/encrypt', { params: { path }, body })).record;
}

const record = await encrypt();
const compact = await encrypt('compact');
const decrypted = dataOf(
  await client.POST('/v1/partitions/{partition}/decrypt', { params: { path }, body: { record } }),
);
const rewrapped = dataOf(
  await client.POST('/v1/partitions/{partition}/rewrap', { params: { path }, body: { record } }),
);
const batch = dataOf(
  await client.POST('/v1/partitions/{partition}/encrypt-batch', {
    params: { path },
    body: { items: [{ plaintext }, { plaintext: '!' }] },
  }),
);
const opened = dataOf(
  await client.POST('/v1/partitions/{partition}/decrypt-batch', {
    params: { path },
    body: { items: batch.results.flatMap((result) => ('record' in result ? [{ record: result.record }] : [])) },
  }),
);
const rewrappedBatch = dataOf(
  await client.POST('/v1/partitions/{partition}/rewrap-batch', { params: { path }, body: { items: [{ record }] } }),
);
const sealed = dataOf(
  await client.POST('/v1/partitions/{partition}/encrypt-fields', {
    params: { path },
    body: { document, fields: ['$.card'] },
  }),
);
const clear = dataOf(
  await client.POST('/v1/partitions/{partition}/decrypt-fields', {
    params: { path },
    body: { document: 'document' in sealed ? sealed.document : undefined, all: true },
  }),
);
const sealedText = dataOf(
  await client.POST('/v1/partitions/{partition}/encrypt-fields', {
    params: { path },
    body: { documentText: JSON.stringify(document), fields: ['$.card'] },
  }),
);
const clearText = dataOf(
  await client.POST('/v1/partitions/{partition}/decrypt-fields', {
    params: { path },
    body: { documentText: 'documentText' in sealedText ? sealedText.documentText : '', fields: ['$.card'] },
  }),
);
const health = dataOf(await client.GET('/v1/health'));

const invalid = await client.POST('/v1/partitions/{partition}/encrypt', {
  params: { path },
  body: { plaintext: '!' },
});
const unreadable = await client.POST('/v1/partitions/{partition}/decrypt', {
  params: { path: { partition: 'tenant-2' } },
  body: { record },
});
const noField = await client.POST('/v1/partitions/{partition}/encrypt-fields', {
  params: { path },
  body: { document, fields: ['$.none'] },
});
// The types allow neither an unknown member nor an unknown code.
const unknownMember = await client.POST('/v1/partitions/{partition}/encrypt', {
  params: { path },
  // @ts-expect-error plaintext is missing
  body: { text: plaintext },
});
// @ts-expect-error there is no such code
if (unknownMember.error?.code === 'NoSuchCode') throw new Error('a code of no error');

console.log(
  JSON.stringify({
    decrypted: decrypted.plaintext,
    compact: typeof compact === 'string' && compact.startsWith('kf1.'),
    rewrapped: rewrapped.rewrapped,
    batch: batch.results.map((result) => ('error' in result ? result.error.code : 'record')),
    opened: opened.results.map((result) => ('error' in result ? result.error.code : result.plaintext)),
    rewrappedBatch: rewrappedBatch.results.map((result) => ('error' in result ? result.error.code : result.rewrapped)),
    clear: 'document' in clear ? clear.document : undefined,
    clearText: 'documentText' in clearText ? clearText.documentText : undefined,
    failures: [invalid, unreadable, noField, unknownMember].map(failureOf),
    metastore: health.metastore.state,
  }),
);
