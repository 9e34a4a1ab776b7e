import { afterEach, expect, it } from 'vitest';
import { OutputLines } from '../../../scripts/held/output-lines.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { KeyfoldError } from '../../../src/index.ts';

const output = new OutputLines();
afterEach(() => output.release());

it('npm run held records each kind of log line and metric once, without values from a request', () => {
  output.capture();
  const telemetry = createTelemetry('svc');
  for (const id of ['a', 'b']) {
    const line = { door: 'direct', requestId: id, principal: null, operation: 'encrypt', partition: id } as const;
    telemetry.audited({ ...line, result: 'ok', keys: [], context: false });
    telemetry.events.failedOver('us-east-1');
    telemetry.requestFailed(new KeyfoldError('Internal', id));
    telemetry.flush();
  }
  output.release();
  expect(output.log()).toEqual([
    expect.stringMatching(/^ERROR request failed: code, detail, level, message, /),
    'INFO audit: context, door, keys, level, message, operation, partition, principal, requestId, result, service, timestamp',
  ]);
  expect(output.metrics()).toEqual([
    'Keyfold KmsFailovers Count region=us-east-1 service=svc',
    'Keyfold RequestErrors Count code=Internal service=svc',
  ]);
});
