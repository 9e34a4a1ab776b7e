/**
 * Tests that no document stays in memory after its response. A document could stay because V8 keeps the text that a
 * regular expression matched last, for the static properties of `RegExp`.
 */
import { describe, expect, it, vi } from 'vitest';
import { httpDoor } from '../../../src/doors/http.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { DOOR_CONFIG, lambdaContext, request } from '../../support/http-door.ts';
import { openQueueDoor, queueRecord } from '../../support/queue-door.ts';

const DOCUMENT = { id: 1, card: 'CANARY' };
const CALL = { operation: 'encrypt-fields', partition: 'tenant-1', document: DOCUMENT, fields: ['$.card'] };

/** The text that a regular expression of this process matched last. */
function lastText(): string {
  return (RegExp as unknown as { readonly input: string }).input;
}

function httpFunction(): (call: typeof CALL) => Promise<unknown> {
  const world = new FakeDependencies();
  const handler = httpDoor({
    keyfold: world.process(),
    now: world.clock.now,
    telemetry: createTelemetry('svc'),
    auth: { kind: 'iam' },
    config: DOOR_CONFIG,
    health: () => ({}),
  });
  return ({ operation, partition, ...body }) => handler(request(operation, body, partition), lambdaContext());
}

describe('the document of a request', () => {
  it.for([
    ['over HTTP', httpFunction()],
    ['by direct invocation', openDirectDoor()],
    ['through a queue', (call: typeof CALL) => openQueueDoor()([queueRecord('m', call)])],
  ] as const)('that arrives %s does not remain in RegExp.input', async ([, send]) => {
    vi.spyOn(process.stdout, 'write').mockReturnValue(true);
    for (const fields of [['$.card'], ['$.none']]) {
      await send({ ...CALL, fields });
      expect(lastText()).not.toContain('CANARY');
    }
  });
});
