/**
 * Tests the log lines and metrics that every door writes about an invocation before it responds. Each log line contains
 * the invocation's ID.
 */
import type { Context } from 'aws-lambda';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { directDoor } from '../../../src/doors/direct.ts';
import { httpDoor } from '../../../src/doors/http.ts';
import { queueDoor } from '../../../src/doors/queue.ts';
import { createMaintenanceTelemetry, type MaintenanceTelemetry } from '../../../src/doors/telemetry.ts';
import { scheduleDoor } from '../../../src/doors/schedule.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, DOOR_CONFIG, lambdaContext, request } from '../../support/http-door.ts';
import { FakeQueues, QUEUE_CONFIG, queueRecord, sealing } from '../../support/queue-door.ts';

type Door = (event: never, context: Context) => Promise<unknown>;

let output: ReturnType<typeof captureOutput>;

beforeEach(() => {
  output = captureOutput();
});
afterEach(() => vi.restoreAllMocks());

function optionsOf(telemetry: MaintenanceTelemetry): Parameters<typeof directDoor>[0] {
  const { events } = telemetry;
  const world = new FakeDependencies();
  return { keyfold: world.process({ events }), now: world.clock.now, telemetry, config: DOOR_CONFIG };
}

const DOORS: readonly (readonly [string, unknown, (telemetry: MaintenanceTelemetry) => Door])[] = [
  [
    'HTTP',
    request('encrypt', { plaintext: '' }),
    (telemetry) => httpDoor({ ...optionsOf(telemetry), auth: { kind: 'iam' }, health: () => ({}) }),
  ],
  [
    'direct invocation',
    { operation: 'encrypt', partition: 'p', plaintext: '' },
    (telemetry) => directDoor(optionsOf(telemetry)),
  ],
  [
    'a queue',
    { Records: [queueRecord('a', sealing())] },
    (telemetry) =>
      queueDoor({
        ...optionsOf(telemetry),
        queues: new FakeQueues(),
        queue: QUEUE_CONFIG,
      }),
  ],
  [
    'a schedule',
    {},
    (telemetry) => {
      const run = async (): Promise<unknown> => {
        await optionsOf(telemetry).keyfold.session('p').encrypt(Buffer.alloc(1));
        return { systemKeys: [] };
      };
      return scheduleDoor({ maintenance: { run } as never, telemetry, deadlineMarginMs: 500 });
    },
  ],
];

it.for(DOORS)(
  "the handler for %s logs a successful operation with the invocation's ID, and writes metrics",
  async (door) => {
    const [, event, open] = door;
    await open(createMaintenanceTelemetry('svc'))(event as never, lambdaContext());
    expect(output.lines()).toContainEqual(
      expect.objectContaining({ message: 'key created', function_request_id: 'aws-request' }),
    );
    expect(output.lines()).toContainEqual(expect.objectContaining({ kind: 'intermediate', KeysCreated: 1 }));
  },
);

it.for(DOORS)(
  "the handler for %s logs a refused request with the invocation's ID, and counts the request",
  async ([, , open]) => {
    const refused = open(createMaintenanceTelemetry('svc'))({ other: true } as never, lambdaContext());
    await expect(refused).rejects.toThrow(/This function expects/);
    expect(output.lines()).toContainEqual(
      expect.objectContaining({
        level: 'WARN',
        message: 'request failed',
        code: 'InvalidRequest',
        status: 400,
        function_request_id: 'aws-request',
      }),
    );
    expect(output.lines()).toContainEqual(expect.objectContaining({ code: 'InvalidRequest', RequestErrors: 1 }));
  },
);

it.for(DOORS)(
  'the handler for %s reports an unexpected error as Internal, and shows no text of the error',
  async (door) => {
    const [name, event, open] = door;
    const context = lambdaContext();
    context.getRemainingTimeInMillis = () => {
      throw new TypeError('CANARY is not a function');
    };
    const failed = await open(createMaintenanceTelemetry('svc'))(event as never, context).catch(
      (error: unknown) => error,
    );
    // Lambda returns the name, the message and the stack of an error. It logs the error's own properties and its cause.
    const { name: errorType, stack = '', cause, statusCode } = failed as Error & { readonly statusCode?: number };
    const shown = { errorType, lines: stack.split('\n').length, own: Object.keys(failed as Error), cause };
    expect(name === 'HTTP' ? { statusCode } : shown).toEqual(
      name === 'HTTP' ? { statusCode: 500 } : { errorType: 'Internal', lines: 1, own: ['name'], cause: undefined },
    );
    expect(output.lines()).toContainEqual(
      expect.objectContaining({
        level: 'ERROR',
        message: 'request failed',
        code: 'Internal',
        status: 500,
        reasons: [expect.stringMatching(/^TypeError at /)],
        function_request_id: 'aws-request',
      }),
    );
    expect(output.lines()).toContainEqual(expect.objectContaining({ code: 'Internal', RequestErrors: 1 }));
    expect(output.text() + JSON.stringify(failed) + String(failed)).not.toContain('CANARY');
  },
);
