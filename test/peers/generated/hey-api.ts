/** Makes round trips through a client made by @hey-api/openapi-ts, and prints a report. */
import { client } from './client/client.gen.ts';
import {
  decrypt,
  decryptBatch,
  decryptFields,
  encrypt,
  encryptBatch,
  encryptFields,
  health,
  rewrap,
  rewrapBatch,
  type Problem,
} from './client/index.ts';

const [, , baseUrl = ''] = process.argv;
client.setConfig({ baseUrl: baseUrl as 'http://127.0.0.1:8080' });
const path = { partition: 'tenant-1' };
const plaintext = 'aGVsbG8=';
const document = { id: 7, card: '4111' };

/** The data of a response. @throws Error if the request failed */
function dataOf<T>({ data, error }: { data: T | undefined; error: Problem | undefined }): T {
  if (data === undefined) throw new Error(`it failed: ${error?.code}`);
  return data;
}

/** The status and the code of a failure. */
function failureOf({ error, response }: { error: Problem | undefined; response?: Response }): unknown[] {
  return [response?.status, error?.code];
}

const { record } = dataOf(await encrypt({ path, body: { plaintext } }));
const compact = dataOf(await encrypt({ path, body: { plaintext, format: 'compact' } }));
const decrypted = dataOf(await decrypt({ path, body: { record } }));
const rewrapped = dataOf(await rewrap({ path, body: { record } }));
const batch = dataOf(await encryptBatch({ path, body: { items: [{ plaintext }, { plaintext: '!' }] } }));
const items = batch.results.flatMap((result) => ('record' in result ? [{ record: result.record }] : []));
const opened = dataOf(await decryptBatch({ path, body: { items } }));
const rewrappedBatch = dataOf(await rewrapBatch({ path, body: { items: [{ record }] } }));
const sealed = dataOf(await encryptFields({ path, body: { document, fields: ['$.card'] } }));
const sealedDocument = 'document' in sealed ? sealed.document : undefined;
const clear = dataOf(await decryptFields({ path, body: { document: sealedDocument, all: true } }));
const documentText = JSON.stringify(document);
const sealedText = dataOf(await encryptFields({ path, body: { documentText, fields: ['$.card'] } }));
const clearText = dataOf(
  await decryptFields({
    path,
    body: { documentText: 'documentText' in sealedText ? sealedText.documentText : '', fields: ['$.card'] },
  }),
);
const state = dataOf(await health());

const invalid = await encrypt({ path, body: { plaintext: '!' } });
const unreadable = await decrypt({ path: { partition: 'tenant-2' }, body: { record } });
const noField = await encryptFields({ path, body: { document, fields: ['$.none'] } });
// The types allow neither an unknown member nor an unknown code.
// @ts-expect-error plaintext is missing
const unknownMember = await encrypt({ path, body: { text: plaintext } });
// @ts-expect-error there is no such code
if (unknownMember.error?.code === 'NoSuchCode') throw new Error('a code of no error');

console.log(
  JSON.stringify({
    decrypted: decrypted.plaintext,
    compact: typeof compact.record === 'string' && compact.record.startsWith('kf1.'),
    rewrapped: rewrapped.rewrapped,
    batch: batch.results.map((result) => ('error' in result ? result.error.code : 'record')),
    opened: opened.results.map((result) => ('error' in result ? result.error.code : result.plaintext)),
    rewrappedBatch: rewrappedBatch.results.map((result) => ('error' in result ? result.error.code : result.rewrapped)),
    clear: 'document' in clear ? clear.document : undefined,
    clearText: 'documentText' in clearText ? clearText.documentText : undefined,
    failures: [invalid, unreadable, noField, unknownMember].map(failureOf),
    metastore: state.metastore.state,
  }),
);
