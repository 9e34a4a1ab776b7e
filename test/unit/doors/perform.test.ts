import { describe, expect, it } from 'vitest';
import { AuditTrail } from '../../../src/doors/audit.ts';
import { perform } from '../../../src/doors/perform.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import type { KeyfoldError } from '../../../src/index.ts';
import { OPERATION_NAMES, type OperationName } from '../../../src/operations/operation-name.ts';
import { codeOf, errorOf, FakeDependencies } from '../../support/fakes.ts';
import { DOOR_CONFIG } from '../../support/http-door.ts';
import { operate } from '../../support/operations.ts';

const RECORD = { plaintext: 'AAAA' };

/** A request for each operation. Its response has the same length every time. */
async function bodies(world: FakeDependencies): Promise<Record<OperationName, unknown>> {
  const { answer } = operate(world.process());
  const sealed = await answer('encrypt', RECORD);
  const { document } = await answer('encrypt-fields', { document: 'a text', fields: ['$'] });
  return {
    encrypt: RECORD,
    decrypt: sealed,
    rewrap: sealed,
    'encrypt-batch': { items: [RECORD] },
    'decrypt-batch': { items: [sealed] },
    'rewrap-batch': { items: [sealed] },
    'encrypt-fields': { document: 1, fields: ['$'] },
    'decrypt-fields': { document, all: true },
  };
}

/** The code and the detail that the caller of a failed operation gets. */
async function problemOf(answer: Promise<string>): Promise<object> {
  const { code, message: detail } = (await errorOf(answer)) as KeyfoldError;
  return { code, detail };
}

describe('an operation for which no time is left', () => {
  const margin = DOOR_CONFIG.deadlineMarginMs;
  const cases = OPERATION_NAMES.map((operation) => [operation, operation, {}] as const);
  it.for([...cases, ['encrypt for a compact record', 'encrypt', { format: 'compact' }]] as const)(
    'fails with DeadlineExceeded (%s)',
    async ([, operation, more]) => {
      const world = new FakeDependencies();
      const value = { ...((await bodies(world))[operation] as object), ...more };
      const logged: number[] = [];
      const itemsFailed = (errors: readonly KeyfoldError[]): void => void logged.push(errors.length);
      const answerOf = (remainingMs: number): Promise<string> =>
        perform(
          {
            keyfold: world.process(),
            telemetry: { ...createTelemetry('svc'), itemsFailed },
            config: DOOR_CONFIG,
            now: world.clock.now,
          },
          { partition: 'tenant-1', operation, request: { value, text: () => JSON.stringify(value) } },
          { remainingMs, answerFits: () => true, trail: new AuditTrail() },
        );
      const late = answerOf(margin);
      const results = operation.endsWith('-batch')
        ? (JSON.parse(await late) as { results: unknown }).results
        : undefined;
      const detail = 'The time for this request is up.';
      expect(results ?? [{ error: await problemOf(late) }]).toEqual([{ error: { code: 'DeadlineExceeded', detail } }]);
      expect(logged).toEqual(operation.endsWith('-batch') ? [1] : []);
      await expect(answerOf(margin + 60_000)).resolves.toBeTypeOf('string');
    },
  );
});

describe('an operation whose response is too long', () => {
  it.for(OPERATION_NAMES)('fails with PayloadTooLarge (%s)', async (operation) => {
    const world = new FakeDependencies();
    const value = (await bodies(world))[operation];
    const request = { value, text: () => JSON.stringify(value) };
    const answerOf = (mostCharacters: number): Promise<string> =>
      perform(
        {
          keyfold: world.process(),
          telemetry: createTelemetry('svc'),
          config: DOOR_CONFIG,
          now: world.clock.now,
        },
        { partition: 'tenant-1', operation, request },
        { remainingMs: 10_000, answerFits: (answer) => answer.length <= mostCharacters, trail: new AuditTrail() },
      );
    const { length } = await answerOf(Infinity);
    expect(await answerOf(length)).toHaveLength(length);
    expect(await codeOf(answerOf(length - 1))).toBe('PayloadTooLarge');
  });
});
