/** Compares the complete error responses of the emulators with those in reviewed/. */
import { request } from 'node:http';
import { connect } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, it, onTestFinished } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { startSqsEmulator, type SqsEmulator } from '../../../emulators/sqs/sqs-emulator.ts';
import { startDynamoDb } from '../../../local/dynamodb.ts';

let sqs: SqsEmulator;
let kms: KmsEmulator;
let keyArn: string;

beforeAll(async () => {
  [sqs, kms] = [await startSqsEmulator(), await startKmsEmulator()];
  sqs.ensureQueue('plain', { MaximumMessageSize: '1024' });
  sqs.ensureQueue('first.fifo');
  ({ keyArn } = await kms.ensureKey('us-west-2', 'alias/known'));
});
afterAll(() => Promise.all([sqs.close(), kms.close()]));

type Call = readonly [action: string, members: unknown];

const NOT_UTF8 = Buffer.from([0xe9]);

/** The status, the headers and the body of the response to each call, with the key's ID as KEY. */
async function answersTo(endpoint: string, service: string, calls: readonly Call[], key = ''): Promise<string> {
  const authorization = 'AWS4-HMAC-SHA256 Credential=local/20260101/us-west-2/kms/aws4_request';
  let all = '';
  for (const [action, members] of calls) {
    const headers = { 'x-amz-target': `${service}.${action}`, authorization };
    const text = typeof members === 'string' ? members : JSON.stringify(members);
    const body = members === NOT_UTF8 ? NOT_UTF8 : text;
    const answer = await fetch(endpoint, { method: 'POST', headers, body });
    const told = ['content-type', 'x-amzn-query-error'].map((name) => answer.headers.get(name) ?? '');
    all += `${action} ${text.slice(0, 180)}\n  ${[answer.status, ...told].join(' ').trim()}\n  ${await answer.text()}\n`;
  }
  return key === '' ? all : all.replaceAll(key, 'KEY');
}

const QueueUrl = '/111122223333/plain';
const FIFO = '/111122223333/first.fifo';
const ARN = 'arn:aws:sqs:us-west-2:111122223333';
const set = (Attributes: object, url = QueueUrl): Call => ['SetQueueAttributes', { QueueUrl: url, Attributes }];
const redrive = (policy: object): Call => set({ RedrivePolicy: JSON.stringify(policy) });
const send = (members: object, url = QueueUrl): Call => [
  'SendMessage',
  { QueueUrl: url, MessageBody: 'x', ...members },
];
const attribute = (value: object, name = 'a'): Call => send({ MessageAttributes: { [name]: value } });
const batch = (Entries?: unknown): Call => ['SendMessageBatch', { QueueUrl, Entries }];

it('the SQS emulator refuses each kind of invalid request with the complete error', async () => {
  const answers = await answersTo(sqs.endpoint, 'AmazonSQS', [
    ['Nothing', {}],
    ['ListQueues', '{'],
    ['ListQueues', '[]'],
    ['ListQueues', NOT_UTF8],
    ['GetQueueUrl', {}],
    ['GetQueueUrl', { QueueName: 'none' }],
    ['GetQueueUrl', { QueueName: 5 }],
    ['GetQueueUrl', { Colour: 'red' }],
    ['CreateQueue', { QueueName: 'a b' }],
    ['CreateQueue', { QueueName: 'a.fifo' }],
    ['CreateQueue', { QueueName: 'plain', Attributes: { DelaySeconds: '1' } }],
    ['CreateQueue', { QueueName: 'a', Attributes: [] }],
    ['GetQueueAttributes', { QueueUrl, AttributeNames: ['Colour'] }],
    ['GetQueueAttributes', { QueueUrl, AttributeNames: 'All' }],
    ['SetQueueAttributes', { QueueUrl }],
    set({ Colour: 'red' }),
    set({ Policy: '{}' }),
    set({ DelaySeconds: '901' }),
    set({ FifoQueue: 'false' }, FIFO),
    set({ ContentBasedDeduplication: 'x' }, FIFO),
    set({ RedrivePolicy: '{' }),
    redrive({ maxReceiveCount: 0 }),
    redrive({ maxReceiveCount: 1 }),
    redrive({ maxReceiveCount: 1, deadLetterTargetArn: 'x', other: 1 }),
    redrive({ maxReceiveCount: 1, deadLetterTargetArn: 'x' }),
    redrive({ maxReceiveCount: 1, deadLetterTargetArn: `${ARN}:plain` }),
    redrive({ maxReceiveCount: 1, deadLetterTargetArn: `${ARN}:first.fifo` }),
    send({ MessageBody: '' }),
    send({ MessageBody: '\0' }),
    send({ MessageBody: 'x'.repeat(1025) }),
    send({ DelaySeconds: 901 }),
    send({ DelaySeconds: true }),
    send({ MessageDeduplicationId: 'x' }),
    send({ MessageGroupId: 'a b' }),
    send({ DelaySeconds: 1, MessageGroupId: 'g', MessageDeduplicationId: 'd' }, FIFO),
    send({}, FIFO),
    send({ MessageGroupId: 'g' }, FIFO),
    send({ MessageAttributes: [] }),
    send({ MessageAttributes: { a: 5 } }),
    send({ MessageAttributes: Object.fromEntries(Array.from({ length: 11 }, (_, i) => [`a${i}`, {}])) }),
    attribute({ DataType: 'String', StringValue: 'x' }, 'aws.a'),
    attribute({ DataType: 'Text', StringValue: 'x' }),
    attribute({ DataType: 'String' }),
    attribute({ DataType: 'Binary', BinaryValue: '!' }),
    attribute({ DataType: 'String', StringValue: '\0' }),
    attribute({ DataType: 'Number', StringValue: 'x' }),
    batch(),
    batch({}),
    batch(Array.from({ length: 11 }, () => ({ Id: 'a' }))),
    batch([{ Id: 'a b' }]),
    batch([{ Id: 'a' }, { Id: 'a' }]),
    batch([{ Id: 'a', MessageBody: 'x'.repeat(1_048_577) }]),
    batch([{ Id: 'a', MessageBody: '' }]),
    ['ReceiveMessage', { QueueUrl, AttributeNames: ['Colour'] }],
    ['DeleteMessage', { QueueUrl, ReceiptHandle: 'x' }],
    ['ChangeMessageVisibility', { QueueUrl, ReceiptHandle: 'x' }],
  ]);
  await expect(answers).toMatchFileSnapshot('reviewed/sqs-errors.txt');
});

it('the SQS emulator responds to an invalid request of the query protocol with the complete error in XML', async () => {
  const body = 'Action=GetQueueUrl&QueueName=none';
  const answer = await fetch(sqs.endpoint, { method: 'POST', headers: { authorization: 'x' }, body });
  expect([answer.status, answer.headers.get('content-type')]).toEqual([400, 'text/xml']);
  const error =
    '<Type>Sender</Type><Code>AWS.SimpleQueueService.NonExistentQueue</Code>' +
    '<Message>The specified queue does not exist.</Message>';
  const requestId = answer.headers.get('x-amzn-requestid');
  expect(await answer.text()).toBe(
    `<?xml version="1.0"?><ErrorResponse><Error>${error}</Error><RequestId>${requestId}</RequestId></ErrorResponse>`,
  );
});

it('the KMS emulator refuses each kind of invalid request with the complete error', async () => {
  const KeyId = keyArn;
  const alias = (AliasName: string, TargetKeyId = keyArn): Call => ['CreateAlias', { AliasName, TargetKeyId }];
  const encrypt = (more: object): Call => ['Encrypt', { KeyId, Plaintext: 'eA==', ...more }];
  const calls: Call[] = [
    ['Nothing', {}],
    ['Encrypt', '{'],
    ['Encrypt', '[]'],
    ['Encrypt', NOT_UTF8],
    ['Encrypt', 'x'.repeat(65_537)],
    ['CreateKey', { KeySpec: 'SYMMETRIC_DEFAULT', CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT' }],
    ['CreateKey', { KeySpec: 'RSA_2048' }],
    ['CreateKey', { MultiRegion: true }],
    ['CreateKey', { MultiRegion: 'x' }],
    ['CreateKey', { Description: 'x'.repeat(8193) }],
    ['CreateKey', { Description: 5 }],
    ['CreateKey', { Policy: '{}' }],
    ['DescribeKey', {}],
    ['DescribeKey', { KeyId: '' }],
    ['DescribeKey', { KeyId: 'none' }],
    ['DescribeKey', { KeyId: 'arn:none' }],
    ['DisableKey', { KeyId: 'alias/known' }],
    ['DisableKey', { KeyId: keyArn.replace('111122223333', '999999999999') }],
    ['CancelKeyDeletion', { KeyId }],
    ['ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 6 }],
    ['ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 6.5 }],
    alias('x'),
    alias('alias/aws/x'),
    alias('alias/known'),
    alias('alias/x', 'alias/known'),
    ['DeleteAlias', { AliasName: 'alias/none' }],
    ['ListAliases', { Marker: 'x' }],
    ['GenerateDataKey', { KeyId }],
    ['GenerateDataKey', { KeyId, KeySpec: 'x' }],
    ['GenerateDataKey', { KeyId, KeySpec: 'AES_256', DryRun: true }],
    encrypt({ Plaintext: '!' }),
    encrypt({ Plaintext: '' }),
    encrypt({ EncryptionContext: [] }),
    encrypt({ EncryptionContext: { a: 'x'.repeat(8192) } }),
    encrypt({ EncryptionAlgorithm: 'x' }),
    encrypt({ EncryptionAlgorithm: 'SM2PKE' }),
    ['Decrypt', { CiphertextBlob: 'eA==' }],
    ['DisableKey', { KeyId }],
    encrypt({}),
    ['ScheduleKeyDeletion', { KeyId, PendingWindowInDays: 7 }],
    encrypt({}),
  ];
  const answers = await answersTo(kms.endpoint, 'TrentService', calls, keyArn.replace(/.*\//, ''));
  await expect(answers.replace(/(?<="DeletionDate":)\d+/, '0')).toMatchFileSnapshot('reviewed/kms-errors.txt');
});

it('the KMS emulator refuses an unsigned call, a key of another account, and a ciphertext of another key, region or context', async () => {
  const errorOf = async (action: string, members: object, by = 'local', region = 'us-west-2'): Promise<unknown> => {
    const authorization = `AWS4-HMAC-SHA256 Credential=${by}/20260101/${region}/kms/aws4_request`;
    const headers = { 'x-amz-target': `TrentService.${action}`, ...(by !== '' && { authorization }) };
    return (await fetch(kms.endpoint, { method: 'POST', headers, body: JSON.stringify(members) })).json();
  };
  const { keyArn: other } = await kms.ensureKey('us-west-2', 'alias/other');
  const sealed = (await errorOf('Encrypt', { KeyId: other, Plaintext: 'eA==' })) as { CiphertextBlob: string };
  const { CiphertextBlob } = sealed;
  expect([
    await errorOf('ListAliases', {}, ''),
    await errorOf('DisableKey', { KeyId: other }, '999999999999'),
    await errorOf('Decrypt', { CiphertextBlob }, 'local', 'us-east-1'),
    await errorOf('Decrypt', { CiphertextBlob, KeyId: (await kms.ensureKey('us-west-2', 'alias/third')).keyArn }),
    await errorOf('Decrypt', { CiphertextBlob, EncryptionContext: { a: 'b' } }),
  ]).toEqual([
    { __type: 'MissingAuthenticationTokenException', message: 'Request is missing Authentication Token' },
    { __type: 'AccessDeniedException', message: `${other} is not a key of this account` },
    {
      __type: 'AccessDeniedException',
      message:
        'The ciphertext refers to a key that does not exist, does not exist in this region, or that you may not use.',
    },
    {
      __type: 'IncorrectKeyException',
      message: 'The key ID in the request does not identify the key that was used.',
    },
    { __type: 'InvalidCiphertextException', message: 'The ciphertext is invalid.' },
  ]);
});

it('the KMS emulator responds to an invalid request of the control API with the complete error', async () => {
  const fault = '/regions/us-west-2/fault';
  const answers: unknown[] = [];
  for (const [method, path, body, origin] of [
    ['GET', '/regions/x', undefined, undefined],
    ['PUT', fault, '{', undefined],
    ['PUT', fault, '{"kind":"latency","ms":-1}', undefined],
    ['PUT', fault, '[]', undefined],
    ['PUT', fault, '"down"', undefined],
    ['PUT', fault, '{"kind":"down","ms":1}', undefined],
    ['PUT', fault, '{"kind":"hang","actions":["Decrypt","Deny"]}', undefined],
    ['PUT', fault, '{"kind":"throttle"}', undefined],
    ['PUT', fault, '{"kind":"error","name":"a b"}', undefined],
    ['PUT', fault, '{"kind":"error","name":"Oops","status":200}', undefined],
    ['PUT', fault, '{"kind":"error","name":"Oops","message":1}', undefined],
    ['PUT', fault, '{"kind":"error","name":"Oops","rate":2}', undefined],
    ['DELETE', '/faults', undefined, 'https://elsewhere.example'],
  ] as const) {
    const headers = origin === undefined ? {} : { origin };
    const answer = await fetch(kms.endpoint + path, { method, headers, ...(body !== undefined && { body }) });
    expect(answer.headers.get('content-type')).toBe('application/json');
    answers.push([answer.status, await answer.json()]);
  }
  expect(answers).toEqual([
    [404, { error: 'The control API has no such path or method.' }],
    [400, { error: 'The body is not JSON.' }],
    [400, { error: 'Invalid fault: ms must be a whole number from 0 to 600000.' }],
    [400, { error: 'Invalid fault: kind must be down, hang, reset, garbage, latency, throttle or error.' }],
    [400, { error: 'Invalid fault: it must be a JSON object.' }],
    [400, { error: 'Invalid fault: this kind has no member ms.' }],
    [400, { error: 'Invalid fault: actions must be a list of KMS actions, such as ["Decrypt"].' }],
    [400, { error: 'Invalid fault: perSecond must be a number of at least 0.' }],
    [400, { error: 'Invalid fault: name must be 1 to 100 letters, digits or underscores.' }],
    [400, { error: 'Invalid fault: status must be a whole number from 400 to 599.' }],
    [400, { error: 'Invalid fault: message must be a string.' }],
    [400, { error: 'Invalid fault: rate must be a number from 0 to 1.' }],
    [403, { error: 'Only requests from this machine may use the emulator.' }],
  ]);
});

const answerTo = async (url: string, method: string, headers: Record<string, string>, body = ''): Promise<unknown> => {
  const { promise, resolve, reject } = Promise.withResolvers<unknown>();
  const sent = request(url, { method, headers }, (answer) => {
    resolve([answer.resume().statusCode, answer.headers['access-control-allow-origin']]);
  });
  sent.once('error', reject).end(body);
  return promise;
};

/** The headers of a signed request to KMS or DynamoDB. The emulators do not check the signature. */
function signedFor(target: string): Record<string, string> {
  return {
    'x-amz-target': target,
    'x-amz-date': '20260101T000000Z',
    'content-type': 'application/x-amz-json-1.0',
    authorization:
      'AWS4-HMAC-SHA256 Credential=a/20260101/us-west-2/dynamodb/aws4_request, SignedHeaders=host, Signature=a',
  };
}

it("the emulators refuse requests from another site's web page, and change nothing", async () => {
  const { endpoint: dynamoDb, close: closeDynamoDb } = await startDynamoDb('EncryptionKey', 0);
  onTestFinished(closeDynamoDb);
  // A browser sends this form to any server without asking it first.
  const form = { 'content-type': 'application/x-www-form-urlencoded' };
  const calls: [url: string, headers: Record<string, string>, body: string][] = [
    [sqs.endpoint + QueueUrl, form, 'Action=SendMessage&MessageBody=x'],
    [kms.endpoint, signedFor('TrentService.ListKeys'), '{}'],
    [dynamoDb, signedFor('DynamoDB_20120810.DeleteTable'), '{"TableName":"EncryptionKey"}'],
  ];
  for (const [url, headers, body] of calls) {
    for (const from of [
      { origin: 'https://elsewhere.example' },
      { host: 'elsewhere.example' },
      { 'sec-fetch-site': 'cross-site' },
      { host: '0.0.0.0', origin: 'https://elsewhere.example' },
    ]) {
      expect(await answerTo(url, 'POST', { ...headers, ...from }, body)).toEqual([403, undefined]);
    }
  }
  // For an image at 0.0.0.0, a browser sends neither an Origin nor Sec-Fetch-Site.
  const image = `${sqs.endpoint}${QueueUrl}?Action=SendMessage&MessageBody=x`;
  expect(await answerTo(image, 'GET', { host: '0.0.0.0' })).toEqual([403, undefined]);
  const received = await fetch(sqs.endpoint + QueueUrl, {
    method: 'POST',
    headers: form,
    body: 'Action=ReceiveMessage',
  });
  expect(await received.json()).toEqual({});
  const tables = signedFor('DynamoDB_20120810.ListTables');
  const listed = await fetch(dynamoDb, { method: 'POST', headers: tables, body: '{}' });
  expect(await listed.json()).toEqual({ TableNames: ['EncryptionKey'] });
});

it('the DynamoDB emulator goes on if a client leaves in the middle of a request, or sends null', async () => {
  const { endpoint, close } = await startDynamoDb('EncryptionKey', 0);
  onTestFinished(close);
  const headers = signedFor('DynamoDB_20120810.GetItem');
  const { hostname, port, host } = new URL(endpoint);
  const client = connect(Number(port), hostname);
  const answered = once(client, 'data');
  client.write(`POST / HTTP/1.1\r\nhost: ${host}\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n{`);
  await answered;
  client.destroy();
  const statuses: number[] = [];
  for (const body of [
    'null',
    '{"TableName":"EncryptionKey","Key":{"Id":null}}',
    '{"TableName":"none"}',
    ''.padEnd(2 ** 24 + 1),
  ])
    statuses.push((await fetch(endpoint, { method: 'POST', headers, body })).status);
  expect(statuses).toEqual([400, 400, 400, 413]);
});

it('the DynamoDB emulator refuses an expression with more than four nested parentheses before it parses it', async () => {
  const { endpoint, close } = await startDynamoDb('EncryptionKey', 0);
  onTestFinished(close);
  const headers = signedFor('DynamoDB_20120810.Scan');
  const values = { ':a': { S: 'a' } };
  const told: unknown[] = [];
  for (const FilterExpression of ['((((', '('.repeat(100), '((((Id = :a)))) AND (Id = :a)', '(((((Id = :a)))))']) {
    const body = JSON.stringify({ TableName: 'EncryptionKey', FilterExpression, ExpressionAttributeValues: values });
    const answer = await fetch(endpoint, { method: 'POST', headers, body });
    told.push([answer.status, (await answer.text()).includes('at most 4 nested parentheses')]);
  }
  expect(told.map(String)).toEqual(['400,false', '400,true', '400,false', '400,true']);
});
