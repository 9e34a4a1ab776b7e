import { readFileSync } from 'node:fs';
import type { Context } from 'aws-lambda';
import { vi } from 'vitest';
import type { AuthConfig, DoorConfig } from '../../src/config/app-config.ts';
import { httpDoor } from '../../src/doors/http.ts';
import { createTelemetry } from '../../src/doors/telemetry.ts';
import type { SessionFactory } from '../../src/index.ts';
import { FakeDependencies } from './fakes.ts';
import { mustConform, type Answer, type Event } from './openapi.ts';

export type { Answer, Event };

/** Reads one of the events in events/. */
export function sampleEvent(name: string): Event {
  const file = new URL(`../../events/${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as Event;
}

/** A POST request for a partition. IAM has authorized the request. */
export function request(operation: string, body: unknown, partition = 'tenant-1'): Event {
  const event = sampleEvent('api-encrypt-iam');
  event.pathParameters = { partition, operation };
  event.rawPath = event.requestContext.http.path = `/v1/partitions/${partition}/${operation}`;
  event.body = typeof body === 'string' ? body : JSON.stringify(body);
  return event;
}

/** The context that Lambda passes to a handler. */
export function lambdaContext(remainingMs = 30_000): Context {
  return {
    awsRequestId: 'aws-request',
    functionName: 'api',
    functionVersion: '$LATEST',
    invokedFunctionArn: 'arn:aws:lambda:us-west-2:111122223333:function:api',
    memoryLimitInMB: '1024',
    logGroupName: 'group',
    logStreamName: 'stream',
    callbackWaitsForEmptyEventLoop: false,
    getRemainingTimeInMillis: () => remainingMs,
  } as unknown as Context;
}

/** The default settings for doors in tests. */
export const DOOR_CONFIG: DoorConfig = {
  serves: {},
  plaintextLimitBytes: 1_048_576,
  maxItems: 1000,
  deadlineMarginMs: 500,
};

/**
 * Opens an HTTP door. Returns a function that sends it events and checks each response against the OpenAPI document.
 */
export function openDoor(
  options: {
    world?: FakeDependencies;
    /** The process that serves the requests. By default, `world` starts one. */
    keyfold?: SessionFactory;
    config?: Partial<DoorConfig>;
    auth?: AuthConfig;
    health?: () => unknown;
  } = {},
): (event: Event, context?: Context) => Promise<Answer> {
  const world = options.world ?? new FakeDependencies();
  const handler = httpDoor({
    keyfold: options.keyfold ?? world.process(),
    now: world.clock.now,
    telemetry: createTelemetry('svc'),
    auth: options.auth ?? { kind: 'iam' },
    config: { ...DOOR_CONFIG, ...options.config },
    health: options.health ?? (() => ({ kms: [], metastore: { state: 'unknown' } })),
  });
  return async (event, context = lambdaContext()) => {
    const { statusCode, headers, body } = await handler(event, context);
    const answer = {
      status: statusCode,
      headers: headers as Record<string, string>,
      body: (body === '' ? undefined : JSON.parse(body)) as Record<string, unknown>,
    };
    mustConform(event, answer);
    return answer;
  };
}

/** Captures what is written to standard output and error. */
export function captureOutput(): { text: () => string; lines: () => Record<string, unknown>[] } {
  const chunks: string[] = [];
  for (const stream of [process.stdout, process.stderr]) {
    vi.spyOn(stream, 'write').mockImplementation((chunk: string | Uint8Array) => {
      chunks.push(String(chunk));
      return true;
    });
  }
  const text = (): string => chunks.join('');
  return {
    text,
    lines: () =>
      text()
        .split('\n')
        .filter((line) => line.startsWith('{'))
        .map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}
