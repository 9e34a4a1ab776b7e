import { readFileSync } from 'node:fs';
import type { ScheduledEvent } from 'aws-lambda';
import { afterEach, expect, it, vi } from 'vitest';
import { scheduleDoor, type ScheduleDoorOptions } from '../../../src/doors/schedule.ts';
import { createMaintenanceTelemetry } from '../../../src/doors/telemetry.ts';
import { KeyfoldError, type MaintenanceReport, type RegisteredErasure } from '../../../src/index.ts';
import { errorOf } from '../../support/fakes.ts';
import { captureOutput, lambdaContext } from '../../support/http-door.ts';

const event = JSON.parse(
  readFileSync(new URL('../../../events/maintenance-schedule.json', import.meta.url), 'utf8'),
) as ScheduledEvent;

afterEach(() => vi.restoreAllMocks());

/** Makes a door whose fake maintenance run ends in the given way. */
function doorTo(run: ScheduleDoorOptions['maintenance']['run']): () => Promise<MaintenanceReport> {
  const telemetry = createMaintenanceTelemetry('svc');
  const handler = scheduleDoor({ maintenance: { run } as never, telemetry, deadlineMarginMs: 500 });
  return () => handler(event, lambdaContext(10_000));
}

it('the maintenance function returns its report, and logs faults that need an operator as errors', async () => {
  const output = captureOutput();
  const well = { region: 'us-west-2', opens: true, renewed: true };
  const bad = { region: 'us-east-1', opens: false, renewed: false, fault: 'Decrypt in us-east-1: misconfigured' };
  const report: MaintenanceReport = {
    systemKeys: [
      { id: '_SK_a', created: 60, state: 'valid', regions: [well] },
      { id: '_SK_a', created: 0, state: 'revoked', regions: [well, bad] },
    ],
    created: { id: '_SK_a', created: 120 } as never,
  };
  expect(await doorTo(() => Promise.resolve(report))()).toEqual(report);
  const logged = output.lines().filter((line) => 'level' in line);
  expect(logged.map(({ level, message }) => [level, message])).toEqual([
    ['INFO', 'System Key maintained'],
    ['ERROR', 'System Key maintained'],
    ['INFO', 'the next System Key was made ahead'],
  ]);
  expect(output.lines()).toContainEqual(expect.objectContaining({ region: 'us-east-1', SystemKeysUnopenable: 1 }));
  expect(output.lines()).toContainEqual(expect.objectContaining({ region: 'us-west-2', WrapsRenewed: 2 }));
});

it('the maintenance function sets a deadline before the end of its invocation, and fails if the run fails', async () => {
  const output = captureOutput();
  let deadlineAtMs = 0;
  const run = doorTo((limits) => {
    deadlineAtMs = limits?.deadlineAtMs ?? 0;
    return Promise.reject(new KeyfoldError('MetastoreUnavailable', 'down', { cause: new Error('AccessDenied') }));
  });
  expect(await errorOf(run())).toMatchObject({ code: 'MetastoreUnavailable' });
  expect(output.lines()).toContainEqual(expect.objectContaining({ level: 'ERROR', reasons: ['AccessDenied'] }));
  expect(deadlineAtMs - Date.now()).toBeLessThanOrEqual(9500);
  expect(deadlineAtMs - Date.now()).toBeGreaterThan(5000);
});

it('the maintenance function logs and counts the erasures that are due', async () => {
  const output = captureOutput();
  const due = { partition: 'tenant-7', erase: 'e1', at: 60, due: 120 } as never as RegisteredErasure;
  const report: MaintenanceReport = { systemKeys: [], erasuresDue: [due, due], erasuresFault: 'MetastoreUnavailable' };
  expect(await doorTo(() => Promise.resolve(report))()).toEqual(report);
  expect(output.lines()).toContainEqual(
    expect.objectContaining({
      level: 'WARN',
      message: 'the keys of a partition are due for deletion',
      partition: 'tenant-7',
      due: 120,
    }),
  );
  expect(output.lines()).toContainEqual(
    expect.objectContaining({
      level: 'ERROR',
      message: 'the erasures could not be read',
      erasuresFault: 'MetastoreUnavailable',
    }),
  );
  expect(output.lines()).toContainEqual(expect.objectContaining({ ErasuresDue: 2 }));
});
