import type { SQSEvent } from 'aws-lambda';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { directDoor } from '../../../src/doors/direct.ts';
import { isFromQueue, isFromSchedule, isInvocation, isRequest } from '../../../src/doors/event-source.ts';
import { httpRequestOf } from '../../../src/doors/payload-formats.ts';
import { httpDoor } from '../../../src/doors/http.ts';
import { queueDoor } from '../../../src/doors/queue.ts';
import { scheduleDoor } from '../../../src/doors/schedule.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, DOOR_CONFIG, lambdaContext, request, sampleEvent } from '../../support/http-door.ts';
import { FakeQueues, QUEUE_CONFIG, queueRecord, sealing } from '../../support/queue-door.ts';

beforeEach(() => {
  captureOutput();
});
afterEach(() => vi.restoreAllMocks());

const gateway = request('encrypt', { plaintext: 'aGVsbG8=' });
const context = gateway.requestContext;
const restApi = sampleEvent('rest-encrypt-iam');
const loadBalancer = {
  requestContext: { elb: { targetGroupArn: 'arn:aws:elasticloadbalancing:us-west-2:111122223333:targetgroup/a/1' } },
  httpMethod: 'POST',
  path: '/v1/partitions/tenant-1/encrypt',
  headers: gateway.headers,
  body: gateway.body,
  isBase64Encoded: false,
};
const queueEvent: SQSEvent = { Records: [queueRecord('a', sealing())] };
const recordOf = (source: string): object => ({ Records: [{ eventSource: source, messageId: 'a', body: '{}' }] });

/** An event from each source. */
const EVENTS = {
  'an HTTP API': gateway,
  'a function URL': sampleEvent('url-encrypt-iam'),
  'a REST API': restApi,
  'an HTTP API with payload format 1.0': sampleEvent('http1-encrypt-iam'),
  'a load balancer': loadBalancer,
  'a test with a header that is null': { ...gateway, headers: { ...gateway.headers, 'content-encoding': null } },
  'a test with a list of headers': { ...gateway, headers: { 'content-type': ['application/json'] } },
  'a test with a parameter that is a number': { ...gateway, pathParameters: { partition: 5, operation: 'encrypt' } },
  'a test with a list of parameters': { ...gateway, pathParameters: { partition: 'a', operation: ['encrypt'] } },
  'a Lambda authorizer': {
    ...gateway,
    type: 'REQUEST',
    routeArn: 'arn:aws:execute-api:us-west-2:111122223333:abc123/$default/POST/v1/partitions/tenant-1/encrypt',
    identitySource: ['token'],
  },
  'a Lambda authorizer with payload format 1.0': { ...restApi, version: '1.0', type: 'REQUEST', methodArn: 'arn' },
  'a VPC Lattice service': { version: '2.0', path: '/', method: 'POST', headers: {}, requestContext: { region: 'a' } },
  'a test of a REST API with a header that is null': {
    ...restApi,
    multiValueHeaders: { 'Content-Encoding': [null] },
  },
  'a REST API with another path in its context': {
    ...restApi,
    requestContext: { ...restApi.requestContext, path: '/live/v1/partitions/tenant-2/encrypt' },
  },
  'a REST API with a parameter that is a number': {
    ...restApi,
    pathParameters: { partition: 5, operation: 'encrypt' },
  },
  'an API with payload format 3.0': { ...restApi, version: '3.0' },
  AppSync: { info: { fieldName: 'encrypt' }, arguments: {}, identity: {}, request: { headers: {} } },
  'a WebSocket API': { requestContext: { connectionId: 'a', eventType: 'MESSAGE' }, body: '{}' },
  'a direct invocation': { operation: 'encrypt', partition: 'tenant-1', plaintext: 'aGVsbG8=' },
  'a queue': queueEvent,
  SNS: { Records: [{ EventSource: 'aws:sns', Sns: { Message: '{}' } }] },
  S3: recordOf('aws:s3'),
  'DynamoDB Streams': recordOf('aws:dynamodb'),
  Kinesis: recordOf('aws:kinesis'),
  'a queue and S3': { Records: [...queueEvent.Records, ...(recordOf('aws:s3') as SQSEvent).Records] },
  'a schedule': { source: 'aws.events', 'detail-type': 'Scheduled Event', detail: {} },
  'EventBridge Scheduler': { source: 'aws.scheduler', 'detail-type': 'Scheduled Event', detail: '{}' },
  'a rule of EventBridge': { source: 'aws.ec2', 'detail-type': 'EC2 Instance State-change Notification', detail: {} },
  'CloudTrail by EventBridge': { source: 'aws.events', 'detail-type': 'AWS API Call via CloudTrail', detail: {} },
  'a warm-up ping': { source: 'serverless-plugin-warmup' },
  'another warm-up ping': { warmup: true },
  nothing: {},
  null: null,
  'a text': 'ping',
  'a number': 1,
  'an array': [queueEvent],
} as const satisfies Record<string, unknown>;

type Source = keyof typeof EVENTS;

/** Every function, with the event that it handles and the message with which it refuses other events. */
const FUNCTIONS = {
  http: {
    serves: ['an HTTP API', 'an HTTP API with payload format 1.0', 'a REST API', 'a function URL'],
    says: 'requests of an API Gateway HTTP API (payload format 2.0 or 1.0), of a REST API, or of a function URL with AWS_IAM',
    open: (world) =>
      httpDoor({
        keyfold: world.process(),
        now: world.clock.now,
        telemetry: createTelemetry('svc'),
        auth: { kind: 'iam' },
        config: DOOR_CONFIG,
        health: () => ({}),
      }),
  },
  direct: {
    serves: ['a direct invocation'],
    says: 'a direct invocation such as {"operation":"encrypt","partition":"tenant-1","plaintext":"aGVsbG8="}',
    open: (world) =>
      directDoor({
        keyfold: world.process(),
        now: world.clock.now,
        telemetry: createTelemetry('svc'),
        config: DOOR_CONFIG,
      }),
  },
  queue: {
    serves: ['a queue'],
    says: 'the messages of an SQS queue',
    open: (world) =>
      queueDoor({
        keyfold: world.process(),
        now: world.clock.now,
        telemetry: createTelemetry('svc'),
        config: DOOR_CONFIG,
        queues: new FakeQueues(),
        queue: QUEUE_CONFIG,
      }),
  },
  maintenance: {
    serves: ['a schedule', 'EventBridge Scheduler', 'nothing', 'null'],
    says: "a schedule's event of EventBridge, or {} by hand",
    open: (world) =>
      scheduleDoor({
        maintenance: { run: () => world.process().preload({}) } as never,
        telemetry: { ...createTelemetry('svc'), maintained: () => {} },
        deadlineMarginMs: 500,
      }),
  },
} as const satisfies Record<
  string,
  {
    serves: readonly Source[];
    says: string;
    open: (world: FakeDependencies) => (event: never, context: ReturnType<typeof lambdaContext>) => Promise<unknown>;
  }
>;

const CASES = Object.entries(FUNCTIONS).flatMap(([name, { serves, says, open }]) =>
  (Object.keys(EVENTS) as Source[]).map((source) => {
    const isServed = (serves as readonly Source[]).includes(source);
    return [source, isServed ? 'served' : 'refused', name, says, open] as const;
  }),
);

describe('an event', () => {
  it.for(CASES)('from %s is %s by the %s function', async ([source, outcome, , says, open]) => {
    const world = new FakeDependencies();
    const answered = await open(world)(EVENTS[source] as never, lambdaContext()).catch((error: unknown) => error);
    const told = answered instanceof Error ? answered.message : JSON.stringify(answered ?? '').replaceAll('\\"', '"');
    const refusal = `This function expects ${says}; this event is something else.`;
    expect(told.includes(refusal)).toBe(outcome === 'refused');
    expect(world.log.take().length > 0).toBe(outcome === 'served');
  });
});

async function isRequestOf(event: unknown): Promise<boolean> {
  return (await httpRequestOf(event)) !== undefined;
}

describe('a function that checks where an event comes from', () => {
  const [record] = queueEvent.Records;

  it.for(['version', 'routeKey', 'rawPath', 'headers', 'requestContext'])(
    'rejects a request without %s',
    async (name) => {
      expect(await isRequestOf(gateway)).toBe(true);
      expect(await isRequestOf({ ...gateway, [name]: undefined })).toBe(false);
      expect(await isRequestOf({ ...gateway, [name]: [] })).toBe(false);
    },
  );

  it.for(['resource', 'path', 'httpMethod', 'requestContext'])(
    'rejects a REST API request without %s',
    async (name) => {
      expect(await isRequestOf(restApi)).toBe(true);
      expect(await isRequestOf({ ...restApi, [name]: undefined })).toBe(false);
      expect(await isRequestOf({ ...restApi, [name]: [] })).toBe(false);
    },
  );

  it.for(['stage', 'apiId'])('rejects a REST API request without requestContext.%s', async (name) => {
    expect(await isRequestOf({ ...restApi, requestContext: { ...restApi.requestContext, [name]: undefined } })).toBe(
      false,
    );
  });

  it('rejects a REST API request whose requestContext.path is not text', async () => {
    expect(await isRequestOf({ ...restApi, requestContext: { ...restApi.requestContext, path: 7 } })).toBe(false);
  });

  it.for([['http'], ['domainName'], ['http', {}], ['apiId', { toString: 1 }], ['stage', { toString: 1 }]] as const)(
    'rejects a request without a valid requestContext.%s',
    async ([name, value]) => {
      expect(await isRequestOf({ ...gateway, requestContext: { ...context, [name]: value } })).toBe(false);
    },
  );

  it.for(['partition', 'operation'])('rejects a request whose path parameter %s is not text', async (name) => {
    const pathParameters = { partition: 'tenant-1', operation: 'encrypt' };
    expect(await isRequestOf({ ...gateway, pathParameters })).toBe(true);
    expect(await isRequestOf({ ...gateway, pathParameters: { ...pathParameters, [name]: 7 } })).toBe(false);
  });

  it('finds no path in a request if a path parameter is not text', async () => {
    const event = { ...gateway, routeKey: 'ANY /{proxy+}' };
    const pathOf = async (proxy: unknown): Promise<string | undefined> =>
      (await httpRequestOf({ ...event, pathParameters: { proxy } }))?.pathInApi;
    expect(await pathOf('v1/ready')).toBe('/v1/ready');
    expect(await pathOf({ toString: 1 })).toBeUndefined();
  });

  it.for(['eventSource', 'eventSourceARN', 'messageId', 'body', 'attributes', 'messageAttributes'])(
    'rejects a message without %s',
    (name) => {
      expect(isFromQueue({ Records: [record] })).toBe(true);
      expect(isFromQueue({ Records: [record, { ...record, [name]: undefined }] })).toBe(false);
      expect(isFromQueue({ Records: [{ ...record, [name]: [] }] })).toBe(false);
    },
  );

  it('rejects a message from a service other than SQS', () => {
    expect(isFromQueue({ Records: [{ ...record, eventSource: 'aws:s3' }] })).toBe(false);
    expect(isFromQueue({ Records: record })).toBe(false);
  });

  it('takes an event for an HTTP request only if its requestContext is an object', () => {
    const contexts = [{}, [], 'x', null, undefined];
    expect(contexts.map((requestContext) => isRequest({ requestContext }))).toEqual([true, false, false, false, false]);
  });

  it('accepts an incomplete direct invocation, so that the response can name what is missing', () => {
    expect([{ operation: 'encrypt' }, { partition: 'p' }, {}, null].map(isInvocation)).toEqual([
      true,
      true,
      false,
      false,
    ]);
  });

  it.for([
    ['accepts', 'undefined', undefined],
    ['accepts', 'null', null],
    ['accepts', 'an empty object', {}],
    ['does not accept', 'an array', []],
    ['does not accept', 'an empty string', ''],
    ['does not accept', 'a number', 0],
    ['accepts', 'an object with the source aws.events', { source: 'aws.events' }],
    ['accepts', 'an object with the source aws.scheduler', { source: 'aws.scheduler' }],
    ['does not accept', 'an object with the source aws.ec2', { source: 'aws.ec2' }],
    ['does not accept', 'an object without a source', { 'detail-type': 'Scheduled Event' }],
  ] as const)('%s %s as an event for the maintenance function', ([accepts, , event]) => {
    expect(isFromSchedule(event)).toBe(accepts === 'accepts');
  });
});

function answer(source: Source): Promise<unknown> {
  return FUNCTIONS.http.open(new FakeDependencies())(EVENTS[source] as never, lambdaContext());
}

describe('the HTTP function', () => {
  it.for([
    ['a Lambda authorizer', 'JKJaXmPLvHcESHA='],
    ['a load balancer', 'aws-request'],
  ] as const)(
    'responds in the HTTP format to an event from %s, with the request ID %s',
    async ([source, requestId]) => {
      expect(await answer(source)).toMatchObject({
        statusCode: 400,
        headers: { 'content-type': 'application/problem+json' },
        body: expect.stringContaining(`"requestId":"${requestId}"`) as string,
      });
    },
  );

  it.for(['a queue', 'S3', 'a warm-up ping', 'a rule of EventBridge', 'null'] as const)(
    'fails for the wrong event "%s", so that the event is not lost',
    async (source) => {
      await expect(answer(source)).rejects.toMatchObject({ code: 'InvalidRequest' });
    },
  );
});
