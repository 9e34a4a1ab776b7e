import { copyButton } from './copy.js';
import { count, el } from './dom.js';

const MAX_CALLS_SHOWN = 8;

/**
 * Shows the outcome and the cost of the last request. `output` is the decrypted text, if any. `note` is a sentence
 * about the output. `why` explains the cost if the calls alone do not. `keyService` is the name of the key service.
 */
export function lastView(result, keyService) {
  const { output, note, problem, usedKeys = false, asked, why = explain(asked, usedKeys, keyService) } = result;
  const { path, body, status, text, ms, calls } = asked;
  const [keyCalls, dynamoDb] = countsOf(calls, keyService);
  return [
    el(
      'div',
      { class: 'tally' },
      el('p', {}, el('b', {}, String(keyCalls)), ` ${keyService} call${keyCalls === 1 ? '' : 's'}`),
      el('p', {}, el('b', {}, String(dynamoDb)), ` DynamoDB call${dynamoDb === 1 ? '' : 's'}`),
      el('p', {}, el('b', {}, String(ms)), ' ms'),
    ),
    el('p', { class: 'why' }, why),
    problem === undefined ? undefined : el('p', { class: 'problem' }, problem),
    output === undefined
      ? undefined
      : el(
          'div',
          { class: 'opened' },
          el(
            'div',
            { class: 'labelled' },
            el('h3', {}, 'The answer'),
            copyButton('the answer', () => output),
          ),
          el('pre', { tabindex: '0', id: 'opened' }, output),
        ),
    note === undefined ? undefined : el('p', { class: 'note' }, note),
    callsView(calls),
    el(
      'details',
      {},
      el('summary', {}, 'The HTTP request and its answer'),
      copyButton('the request as a curl command', () => curlOf(path, body)),
      el('pre', { tabindex: '0' }, `POST ${path}\n${body}\n\n${status}\n${text}`),
    ),
  ].filter((part) => part !== undefined);
}

/** The outcome and the cost in one sentence, for screen readers. */
export function statusOf({ said, asked }, keyService) {
  const [keyCalls, dynamoDb] = countsOf(asked.calls, keyService);
  return `${said}: ${count(keyCalls, `${keyService} call`)}, ${count(dynamoDb, 'DynamoDB call')}.`;
}

function countsOf(calls, keyService) {
  return [keyService, 'DynamoDB'].map((service) => calls.filter((call) => call.service === service).length);
}

function curlOf(path, body) {
  const data = body === '' ? '' : ` -H 'content-type: application/json' -d '${body.replaceAll("'", String.raw`'\''`)}'`;
  return `curl -X POST${data} '${location.origin}${path}'`;
}

/** Lists the calls. A long list is collapsed, so that the rest of the page stays visible. */
function callsView(calls) {
  if (calls.length === 0) return undefined;
  const label = 'The calls, in the order in which they ended';
  const list = el('ol', { class: 'calls', 'aria-label': label }, calls.map(callView));
  return calls.length > MAX_CALLS_SHOWN ? el('details', {}, el('summary', {}, label), list) : list;
}

function callView({ service, region, action, keyId, outcome }) {
  const well = outcome === 'ok';
  return el(
    'li',
    { class: well ? '' : 'failed' },
    el('b', {}, region === null ? service : `${service} ${region}`),
    el('span', {}, action, keyId === null ? '' : ' ', keyId === null ? undefined : el('code', {}, keyId)),
    el('span', { class: `state ${well ? 'good' : 'bad'}` }, well ? '✓ ok' : `✕ ${outcome}`),
  );
}

/**
 * Explains the cost of a request by its calls. A request without calls had its keys in memory, or needed no key.
 * `usedKeys` says which of these the text gives as the reason.
 */
function explain({ calls, ok }, usedKeys, keyService) {
  if (!ok && calls.length === 0) return `Refused without a call to ${keyService} or DynamoDB.`;
  if (calls.length === 0) return usedKeys ? 'No call: the keys were in memory.' : 'No call: no field changed.';
  const keyCalls = calls.filter(({ service }) => service === keyService);
  const placesWhere = (isAsked) => [
    ...new Set(keyCalls.filter(isAsked).map(({ service, region }) => region ?? service)),
  ];
  const failed = placesWhere(({ outcome }) => outcome !== 'ok');
  const answered = placesWhere(({ outcome }) => outcome === 'ok');
  const sentences = [];
  if (failed.length > 0) {
    sentences.push(
      answered.length > 0
        ? `${failed.join(' and ')} failed, ${answered.join(' and ')} answered: the request went on.`
        : `${failed.join(' and ')} failed, and ${keyService === 'KMS' ? 'no region' : 'nothing else'} answered.`,
    );
  }
  const has = (action) => calls.some((call) => action.test(call.action) && call.outcome === 'ok');
  if (has(/^GenerateDataKey$/)) sentences.push('Created a System Key, encrypted by KMS in each region that answered.');
  if (has(/^transit\/encrypt\//)) sentences.push('Created a System Key, encrypted by OpenBao.');
  if (has(/^PutItem$/)) sentences.push('Stored new keys, encrypted, in DynamoDB.');
  if (has(/^Decrypt$|^transit\/decrypt\//))
    sentences.push(`${keyService} decrypted the System Key, which now stays in memory.`);
  if (keyCalls.length === 0 && !has(/^PutItem$/))
    sentences.push(usedKeys ? 'Read key rows only: the System Key was in memory.' : 'Read key rows only.');
  return sentences.join(' ');
}
