/**
 * Tests which characters the emulators accept in names, IDs and numbers. The tests try all of ASCII, and a few other
 * characters.
 */
import { request } from 'node:http';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parseFault } from '../../../emulators/kms/faults.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { startSqsEmulator, type SqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { CHARACTERS, DIGITS, LOWER, sorted, UPPER, VISIBLE, WORD } from '../../support/characters.ts';

const BASE64 = `${LOWER}${UPPER}${DIGITS}+/`;

let kms: KmsEmulator;
let sqs: SqsEmulator;
let keyId: string;
let queueUrl: string;
beforeAll(async () => {
  [kms, sqs] = [await startKmsEmulator(), await startSqsEmulator()];
  keyId = (await kms.ensureKey('us-west-2', 'alias/characters')).keyArn.replace(/.*\//, '');
  ({ queueUrl } = sqs.ensureQueue('characters'));
});
afterAll(() => Promise.all([kms.close(), sqs.close()]));

/** Calls SQS in the JSON protocol. Returns the status and the text of the response. */
async function callSqs(target: string, members: object): Promise<[status: number, text: string]> {
  const answer = await fetch(queueUrl, {
    method: 'POST',
    headers: { 'x-amz-target': target },
    body: JSON.stringify(members),
  });
  return [answer.status, await answer.text()];
}

async function sends(members: object): Promise<boolean> {
  return (await callSqs('AmazonSQS.SendMessage', { MessageBody: 'x', ...members }))[0] === 200;
}

/** Calls KMS. Returns the name of the error, or `ok`. */
async function callKms(target: string, members: object, credential = 'local/20260101/us-west-2'): Promise<string> {
  const authorization = `AWS4-HMAC-SHA256 Credential=${credential}/kms/aws4_request, SignedHeaders=host`;
  const headers = { 'x-amz-target': target, authorization };
  const answer = await fetch(kms.endpoint, { method: 'POST', headers, body: JSON.stringify(members) });
  const { __type = 'ok' } = (await answer.json()) as { __type?: string };
  return __type;
}

/** The characters that `accepts` allows in place of the `?` in `form`. */
async function accepted(form: string, accepts: (value: string) => Promise<boolean> | boolean): Promise<string> {
  const found: string[] = [];
  for (const character of CHARACTERS) if (await accepts(form.replace('?', () => character))) found.push(character);
  return found.join('');
}

/** Maps each value to what `ask` returns for it. */
async function outcomes<T>(ask: (value: string) => Promise<T> | T, ...values: string[]): Promise<Record<string, T>> {
  const pairs: [string, T][] = [];
  for (const value of values) pairs.push([value, await ask(value)]);
  return Object.fromEntries(pairs);
}

/** Maps each of these values to the given outcome. */
function same<T>(outcome: T, ...values: string[]): Record<string, T> {
  return Object.fromEntries(values.map((value) => [value, outcome]));
}

/** For names of 0, 1, `most` and `most + 1` characters, whether `accepts` allows them. */
async function bounds(accepts: (value: string) => Promise<boolean>, most: number): Promise<boolean[]> {
  const found: boolean[] = [];
  for (const length of [0, 1, most, most + 1]) found.push(await accepts('a'.repeat(length)));
  return found;
}

const creates = (name: string): boolean => {
  try {
    return sqs.ensureQueue(name).queueUrl.endsWith(`/${name}`);
  } catch {
    return false;
  }
};
const group = (MessageGroupId: string): Promise<boolean> => sends({ MessageGroupId });
const attribute = (name: string): Promise<boolean> =>
  sends({ MessageAttributes: { [name]: { DataType: 'String', StringValue: 'x' } } });
const body = (MessageBody: string): Promise<boolean> => sends({ MessageBody });
const number = (StringValue: string): Promise<boolean> =>
  sends({ MessageAttributes: { n: { DataType: 'Number', StringValue } } });
const entry = async (Id: string): Promise<boolean> =>
  (await callSqs('AmazonSQS.SendMessageBatch', { Entries: [{ Id, MessageBody: 'x' }] }))[0] === 200;
const timeout = async (VisibilityTimeout: string): Promise<boolean> =>
  (await callSqs('AmazonSQS.SetQueueAttributes', { Attributes: { VisibilityTimeout } }))[0] === 200;
const delay = (DelaySeconds: string): Promise<boolean> => sends({ DelaySeconds });

const alias = async (AliasName: string): Promise<boolean> =>
  ['ok', 'AlreadyExistsException'].includes(
    await callKms('TrentService.CreateAlias', { AliasName, TargetKeyId: keyId }),
  );
const plaintext = async (Plaintext: string): Promise<boolean> =>
  (await callKms('TrentService.Encrypt', { KeyId: keyId, Plaintext })) === 'ok';
const isArn = async (KeyId: string): Promise<boolean> =>
  (await callKms('TrentService.DescribeKey', { KeyId })) === 'NotFoundException';
const fault = (name: string): boolean => {
  try {
    return parseFault({ kind: 'error', name }).kind === 'error';
  } catch {
    return false;
  }
};

const createAlias = (TargetKeyId: string): Promise<string> =>
  callKms('TrentService.CreateAlias', { AliasName: 'alias/second', TargetKeyId });
const statusOfPut = async (path: string): Promise<number> =>
  (await fetch(`${kms.endpoint}${path}`, { method: 'PUT', body: '{"kind":"down"}' })).status;
const findsQueue = async (QueueUrl: string): Promise<boolean> =>
  (await callSqs('AmazonSQS.SendMessage', { QueueUrl, MessageBody: 'x' }))[0] === 200;
const describeAs = (credential: string): Promise<string> =>
  callKms('TrentService.DescribeKey', { KeyId: keyId }, credential);
const askKms = (target: string): Promise<string> => callKms(target, { KeyId: keyId });
const isUnknownToSqs = async (target: string): Promise<boolean> =>
  (await callSqs(target, { MessageBody: 'x' }))[1].includes('UnknownOperationException');

describe('the SQS emulator', () => {
  it.for(['%c3%a9', '%EF%BF%BD', '%ef%bf%bd', '%F0%9F%98%80', '%41%5a%7E%09', '%', '%4', '%g0', '%-1'])(
    'accepts %s as the value of MessageBody in a form-encoded request',
    async (text) => {
      const answer = await fetch(queueUrl, { method: 'POST', body: `Action=SendMessage&MessageBody=${text}` });
      expect(answer.status).toBe(200);
    },
  );

  it('accepts letters, digits, underscores and hyphens in the name of a queue', async () => {
    expect(await accepted('a?b', creates)).toBe(sorted(`${WORD}-`));
    expect(await accepted('a?b.fifo', creates)).toBe(sorted(`${WORD}-`));
    expect(await bounds(async (name) => creates(name), 80)).toEqual([false, true, true, false]);
    expect(await bounds(async (name) => creates(`${name}.fifo`), 75)).toEqual([false, true, true, false]);
    expect(await outcomes(creates, ' a', 'a ', ' a.fifo', 'a.fifo ', 'a-fifo', 'a!fifo', 'a.fifo.fifo')).toEqual({
      ' a': false,
      'a ': false,
      ' a.fifo': false,
      'a.fifo ': false,
      'a-fifo': true,
      'a!fifo': false,
      'a.fifo.fifo': false,
    });
  });

  it('accepts letters, digits, underscores and hyphens in the ID of an entry', async () => {
    expect(await accepted('?', entry)).toBe(sorted(`${WORD}-`));
    expect(await bounds(entry, 80)).toEqual([false, true, true, false]);
    expect(await outcomes(entry, ' a', 'a ')).toEqual({ ' a': false, 'a ': false });
  });

  it('accepts visible ASCII characters in the ID of a message group', async () => {
    expect(await accepted('?', group)).toBe(sorted(VISIBLE));
    expect(await bounds(group, 128)).toEqual([false, true, true, false]);
  });

  it('accepts letters, digits, underscores, hyphens and single full stops in the name of an attribute', async () => {
    expect(await accepted('a?a', attribute)).toBe(sorted(`${WORD}.-`));
    expect(await accepted('?', attribute)).toBe(sorted(`${WORD}-`));
    expect(await bounds(attribute, 256)).toEqual([false, true, true, false]);
    const refused = ['.a', 'a.', 'a..b', '1..2', ' a', 'a ', 'aws.a', 'AWS.a', 'Amazon.a', 'amazon.a'];
    expect(await outcomes(attribute, ...refused)).toEqual(same(false, ...refused));
    expect(await outcomes(attribute, 'awsa', 'amazona', 'a.aws.a')).toEqual({
      awsa: true,
      amazona: true,
      'a.aws.a': true,
    });
  });

  it('accepts every character that XML 1.0 allows in the body of a message', async () => {
    const edges = ['\ud7ff', '\ue000', '\ufffd', '\u{10000}', '\u{10ffff}', '\t', '\n', '\r', ' ', '\x7f'];
    const refused = ['\0', '\b', '\v', '\f', '\x0e', '\x1f', '\ud800', '\udfff', '\ufffe', '\uffff'];
    expect(await outcomes(body, ...edges.map((edge) => `a${edge}b`))).toEqual(
      same(true, ...edges.map((edge) => `a${edge}b`)),
    );
    expect(await outcomes(body, ...refused.map((edge) => `a${edge}b`))).toEqual(
      same(false, ...refused.map((edge) => `a${edge}b`)),
    );
  });

  it('accepts decimal numbers in an attribute of the type Number', async () => {
    const numbers = [
      '0',
      '9',
      '10',
      '-1',
      '+1',
      '1.',
      '1.5',
      '.5',
      '.05',
      '-.5',
      '1e5',
      '1E5',
      '1e+50',
      '1e-59',
      '9.09',
    ];
    const others = [
      '1x',
      'x1',
      '0x10',
      '1.5x',
      '.x',
      '.',
      '',
      '-',
      '1e',
      '1e-',
      '1ex',
      '1 ',
      ' 1',
      '1,5',
      '1-1',
      'e5',
      ':1',
      '1e:5',
    ];
    expect(await outcomes(number, ...numbers)).toEqual(same(true, ...numbers));
    expect(await outcomes(number, ...others)).toEqual(same(false, ...others));
  });

  it('reads each digit of a number once, so that a million digits before another character cost little', async () => {
    expect(await number(`${'1'.repeat(1_000_000)}x`)).toBe(false);
  });

  it('accepts one to nine digits as a number, both in a parameter and in an attribute of a queue', async () => {
    for (const accepts of [timeout, delay]) {
      expect(await accepted('?', accepts)).toBe(DIGITS);
      const refused = ['0000000009', '1 ', ' 1', '', '-1', '+1', '1e1', '9.0'];
      expect(await outcomes(accepts, '000000009', ...refused)).toEqual({
        '000000009': true,
        ...same(false, ...refused),
      });
    }
  });

  it('refuses an X-Amz-Target header that does not name an action of the emulator', async () => {
    const targets = [
      'xAmazonSQS.SendMessage',
      'AmazonSQSxSendMessage',
      'AmazonSQS.SendMessage-',
      'AmazonSQS.',
      'SendMessage',
    ];
    expect(await outcomes(isUnknownToSqs, ...targets)).toEqual(same(true, ...targets));
    expect((await callSqs('AmazonSQS.SendMessage', { MessageBody: 'x' }))[0]).toBe(200);
  });

  it('finds a queue only by the path /ACCOUNT/NAME, alone or in a URL', async () => {
    const found = [
      '/111122223333/characters',
      'http://a/111122223333/characters',
      'https://b:1/111122223333/characters',
    ];
    const lost = [
      'x/111122223333/characters',
      'ftp://a/111122223333/characters',
      'http://a/b/111122223333/characters',
      '/11112222333?/characters',
      '/11112222333x/characters',
      '/11112222333/characters',
      '/1111222233334/characters',
      '/111122223334/characters',
      '/111122223333/characters/',
      '/111122223333/characters/x',
      '/111122223333/',
      'characters',
    ];
    expect(await outcomes(findsQueue, ...found)).toEqual(same(true, ...found));
    expect(await outcomes(findsQueue, ...lost)).toEqual(same(false, ...lost));
  });
});

describe('the KMS emulator', () => {
  it('refuses the name or the ARN of an alias as the target of an alias', async () => {
    const arn = 'arn:aws:kms:us-west-2:111122223333:alias/characters';
    expect(await outcomes(createAlias, arn, 'alias/characters', 'xalias/characters')).toEqual({
      ...same('ValidationException', arn, 'alias/characters'),
      'xalias/characters': 'NotFoundException',
    });
  });

  it('treats a path as a control API path only if the path begins with /regions or /faults', async () => {
    const control = ['/regions/us-west-2/faults', '/faults/regions/us-west-2/fault', '/regions//fault', '/regions'];
    expect(await outcomes(statusOfPut, ...control)).toEqual(same(404, ...control));
    const calls = ['/regionsx', '/faultsx', '/x/regions', '/x/regions/us-west-2/fault'];
    expect(await outcomes(statusOfPut, ...calls)).toEqual(same(400, ...calls));
  });

  it('accepts letters, digits, slashes, underscores and hyphens in the name of an alias', async () => {
    expect(await accepted('alias/a?', alias)).toBe(sorted(`${WORD}/-`));
    expect(await bounds((name) => alias(`alias/${name}`), 250)).toEqual([false, true, true, false]);
    expect(await outcomes(alias, ' alias/a', 'xalias/a', 'alias/aws/a', 'alias/awsa', 'alias/a/aws/a')).toEqual({
      ' alias/a': false,
      'xalias/a': false,
      'alias/aws/a': false,
      'alias/awsa': true,
      'alias/a/aws/a': true,
    });
  });

  it.for(['?AAA', 'AAA?', '?A==', 'A?==', '?AA=', 'AA?='])(
    'accepts the base64 text %s only with a base64 character in place of the question mark',
    async (form) => {
      const padding = form === 'AAA?' || form === 'AA?=' ? '=' : '';
      expect(await accepted(form, plaintext)).toBe(sorted(`${BASE64}${padding}`));
    },
  );

  it('refuses base64 of a wrong length', async () => {
    const wrong = ['A', 'AA', 'AAA', 'AAAAA', 'A===', 'A==', 'AAA==', 'AA=', '====', 'AAAA=', 'AA==AAAA'];
    expect(await outcomes(plaintext, ...wrong)).toEqual(same(false, ...wrong));
  });

  it('distinguishes a malformed ARN from the ARN of a key that does not exist', async () => {
    expect(await accepted('arn:aws:kms:us-west-?:111122223333:key/a', isArn)).toBe(sorted(`${LOWER}${DIGITS}-`));
    expect(await accepted('arn:aws:kms:us-west-2:11112222333?:key/a', isArn)).toBe(DIGITS);
    const wrong = [
      'arn:aws:kms:us-west-2:11112222333:key/a',
      'arn:aws:kms:us-west-2:1111222233334:key/a',
      'arn:aws:kms::111122223333:key/a',
      'arn:aws:kms:us-west-2:111122223333:key/',
      'arn:aws:kms:us-west-2:111122223333:alias/',
      'arn:aws:kms:us-west-2:111122223333:xkey/a',
    ];
    expect(await outcomes(isArn, ...wrong)).toEqual(same(false, ...wrong));
    const resource = `key/${keyId}`;
    expect(
      await callKms('TrentService.DescribeKey', { KeyId: `arn:aws:kms:us-west-2:111122223333:x${resource}` }),
    ).toBe('InvalidArnException');
  });

  it("takes the region and the account of a caller from the caller's credentials", async () => {
    const known = [
      '111122223333',
      '11112222333',
      '1111222233334',
      '11112222333x',
      '11112222333-',
      'a+b',
      'a.b',
      'a_b',
    ].map((key) => `${key}/20260101/us-west-2`);
    expect(await outcomes(describeAs, ...known)).toEqual(same('ok', ...known));
    const others = [
      '999999999999/20260101/us-west-2',
      'local/20260101/us-west-3',
      'a/20260101/az-0',
      'a/20260109/a9-z',
    ];
    expect(await outcomes(describeAs, ...others)).toEqual(same('NotFoundException', ...others));
    const malformed = [
      ...[
        'US-west-2',
        'us_west-2',
        'us.west-2',
        'us:west-2',
        'us west-2',
        'us`west-2',
        'us{west-2',
        'us+west-2',
        '',
      ].map((region) => `local/20260101/${region}`),
      ...['2026010', '202601011', '2026010a', '2026-101', ''].map((date) => `local/${date}/us-west-2`),
      '/20260101/us-west-2',
    ];
    expect(await outcomes(describeAs, ...malformed)).toEqual(same('MissingAuthenticationTokenException', ...malformed));
  });

  it('accepts letters, digits and underscores in the name of an injected error', async () => {
    expect(await accepted('a?', fault)).toBe(sorted(WORD));
    expect(await bounds(async (name) => fault(name), 100)).toEqual([false, true, true, false]);
    expect(await outcomes(fault, ' a')).toEqual({ ' a': false });
  });

  it('refuses an X-Amz-Target header that does not name an action of the emulator', async () => {
    const targets = [
      'xTrentService.DescribeKey',
      'TrentServicexDescribeKey',
      'TrentService.DescribeKey-',
      'TrentService.',
    ];
    expect(await outcomes(askKms, ...targets)).toEqual(same('UnknownOperationException', ...targets));
  });

  it.for([
    ['127.0.0.1', 200],
    ['127.0.0.1:80', 200],
    ['localhost', 200],
    ['localhost:65535', 200],
    ['localhost:', 403],
    ['localhost:8a', 403],
    ['localhost:80-', 403],
    ['xlocalhost', 403],
    ['localhostx', 403],
    ['localhost.example.com', 403],
    ['127.0.0.1.example.com', 403],
    ['127a0.0.1', 403],
    ['127.0a0.1', 403],
    ['127.0.0a1', 403],
    ['example.com', 403],
  ] as const)('responds to a control API request whose Host header is %s: status %i', async ([host, status]) => {
    const { promise, resolve, reject } = Promise.withResolvers<number | undefined>();
    request(`${kms.endpoint}/regions`, { headers: { host } }, (answer) => resolve(answer.resume().statusCode))
      .once('error', reject)
      .end();
    expect(await promise).toBe(status);
  });
});
