import { readFileSync } from 'node:fs';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { KeyfoldError } from '../../../src/index.ts';
import { OPERATION_NAMES } from '../../../src/operations/operation-name.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, lambdaContext } from '../../support/http-door.ts';

const HELLO = 'aGVsbG8=';
let output: ReturnType<typeof captureOutput>;

beforeEach(() => {
  output = captureOutput();
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.unstubAllEnvs();
});

function sampleEvent(name: string): Record<string, unknown> {
  const file = new URL(`../../../events/invoke-${name}.json`, import.meta.url);
  return JSON.parse(readFileSync(file, 'utf8')) as Record<string, unknown>;
}

function parsed(payload: string | undefined): Record<string, unknown> {
  return JSON.parse(payload ?? 'null') as Record<string, unknown>;
}

describe('a directly invoked function', () => {
  it('decrypts what it encrypted for the partition that the event names', async () => {
    const invoke = openDirectDoor();
    const sealed = parsed((await invoke(sampleEvent('encrypt'))).payload);
    expect(Object.keys(sealed)).toEqual(['record']);
    const { payload } = await invoke({ operation: 'decrypt', partition: 'tenant-1', ...sealed });
    expect(payload).toBe(`{"plaintext":"${HELLO}"}`);
  });

  it('decrypts a payload only with the context with which it was encrypted', async () => {
    const invoke = openDirectDoor();
    const event = sampleEvent('encrypt-context');
    const sealed = parsed((await invoke(event)).payload);
    const decrypt = { operation: 'decrypt', partition: 'tenant-1', ...sealed };
    expect((await invoke({ ...decrypt, context: event['context'] })).payload).toBe(`{"plaintext":"${HELLO}"}`);
    const other = { ...(event['context'] as object), id: '43' };
    expect((await invoke({ ...decrypt, context: other })).error?.errorType).toBe('RecordUnreadable');
    expect((await invoke(decrypt)).error?.errorType).toBe('ContextRequired');
  });

  it('returns one result for each item of a batch', async () => {
    const invoke = openDirectDoor();
    const { results } = parsed((await invoke(sampleEvent('encrypt-batch'))).payload) as { results: object[] };
    const items = [...results, { record: 'kf1.x' }];
    const { payload } = await invoke({ operation: 'decrypt-batch', partition: 'tenant-1', items });
    expect(parsed(payload)['results']).toEqual([
      { plaintext: HELLO },
      { plaintext: 'd29ybGQ=' },
      { error: { code: 'InvalidRequest', detail: expect.any(String) as string } },
    ]);
  });

  it('accepts a partition name that no HTTP path can contain', async () => {
    const invoke = openDirectDoor();
    const { payload } = await invoke({ ...sampleEvent('encrypt'), partition: 'Zürich/../a b' });
    expect(payload).toMatch(/^\{"record":/);
  });

  it('performs only the operations that its settings list', async () => {
    const world = new FakeDependencies();
    const serves = { operations: ['encrypt', 'rewrap'] as const, partitions: ['tenant-1', 'team-*'] };
    const invoke = openDirectDoor({ world, config: { serves } });
    for (const [event, what] of [
      [{ operation: 'decrypt', partition: 'tenant-1', record: {} }, 'operation'],
      [{ operation: 'encrypt', partition: 'tenant-12', plaintext: HELLO }, 'partition'],
    ] as const) {
      expect((await invoke(event)).error).toMatchObject({
        errorType: 'Forbidden',
        errorMessage: `This function does not serve that ${what}.`,
      });
    }
    expect(world.log.take()).toEqual([]);
    expect((await invoke({ operation: 'encrypt', partition: 'team-a', plaintext: HELLO })).payload).toBeDefined();
  });
});

describe('a number in a document', () => {
  const DIGITS = '{"a":4111111111111111.10,"b":-0,"c":12345678901234567890,"d":[1.0,1E2],"__proto__":{"e":1e400}}';

  it('keeps all its digits in a documentText', async () => {
    const invoke = openDirectDoor();
    const about = { partition: 'tenant-1', fields: ['$.*'] };
    const sealed = await invoke({ operation: 'encrypt-fields', ...about, documentText: DIGITS });
    const { documentText } = parsed(sealed.payload);
    expect(documentText).not.toContain('4111');
    const opened = await invoke({ operation: 'decrypt-fields', ...about, documentText });
    expect(parsed(opened.payload)).toEqual({ documentText: DIGITS });
  });

  it('keeps all its digits if encrypt-fields received the document as text', async () => {
    const invoke = openDirectDoor();
    const partition = 'tenant-1';
    const sealed = await invoke({ operation: 'encrypt-fields', partition, fields: ['$.*'], documentText: DIGITS });
    const document: unknown = JSON.parse(parsed(sealed.payload)['documentText'] as string);
    const opened = await invoke({ operation: 'decrypt-fields', partition, all: true, document });
    expect(opened.payload).toBe(`{"document":${DIGITS}}`);
  });

  it('is accepted if a double represents it exactly', async () => {
    const invoke = openDirectDoor();
    const partition = 'tenant-1';
    const document = '{"a":9007199254740991,"b":-0,"c":0.1,"d":1e-7}';
    const event = `{"operation":"encrypt-fields","partition":"${partition}","fields":["$.*"],"document":${document}}`;
    const sealed = parsed((await invoke(event)).payload)['document'];
    const opened = await invoke({ operation: 'decrypt-fields', partition, all: true, document: sealed });
    expect(opened.payload).toBe(`{"document":${document}}`);
  });

  it.for([
    ['an integer that is too large', '9007199254740993'],
    ['an integer that is too small', '[-12345678901234567890]'],
    ['larger than any double', '{"a":1e400}'],
    ['written with an exponent', '1e20'],
  ] as const)('is refused with an error that points to documentText if it is %s', async ([, document]) => {
    const world = new FakeDependencies();
    const event = `{"operation":"encrypt-fields","partition":"p","fields":["$"],"document":${document}}`;
    const { error } = await openDirectDoor({ world })(event);
    expect(error?.errorType).toBe('InvalidRequest');
    expect(error?.errorMessage).toContain('documentText');
    expect(world.log.take()).toEqual([]);
  });
});

describe('a directly invoked function', () => {
  it.for([
    ['InvalidRequest', 'is null', 'null'],
    ['InvalidRequest', 'is an array', '[]'],
    ['InvalidRequest', 'has an unknown operation', '{"operation":"toString","partition":"p"}'],
    ['InvalidRequest', 'has no partition', '{"operation":"encrypt","plaintext":""}'],
    ['InvalidRequest', 'has an empty partition', '{"operation":"encrypt","partition":"","plaintext":""}'],
    [
      'InvalidRequest',
      'has an unknown member',
      '{"operation":"encrypt","partition":"p","plaintext":"","colour":"red"}',
    ],
    [
      'InvalidRequest',
      'is nested too deeply',
      `{"operation":"encrypt-fields","partition":"p","fields":["$"],"document":${'['.repeat(9999)}${']'.repeat(9999)}}`,
    ],
    [
      'FieldNotFound',
      'names an absent field',
      '{"operation":"encrypt-fields","partition":"p","fields":["$.a"],"document":{}}',
    ],
    [
      'PayloadTooLarge',
      'has a plaintext that is too large',
      `{"operation":"encrypt","partition":"p","plaintext":"${'A'.repeat(1336)}"}`,
    ],
  ] as const)('returns %s for an event that %s, and reads no key', async ([code, , event]) => {
    const world = new FakeDependencies();
    const { error } = await openDirectDoor({ world, config: { plaintextLimitBytes: 1000 } })(event);
    expect(error).toMatchObject({ errorType: code, errorMessage: expect.stringMatching(/\.$/) as string });
    expect(world.log.take()).toEqual([]);
  });

  it.for([
    [
      'has no operation',
      { partition: 'p', document: 1, fields: ['$'] },
      `operation must be one of ${OPERATION_NAMES.join(', ')}.`,
    ],
    [
      'has a list as its operation',
      { operation: ['encrypt'], partition: 'p', plaintext: '' },
      `operation must be one of ${OPERATION_NAMES.join(', ')}.`,
    ],
    ['has no partition', { operation: 'encrypt', plaintext: '' }, 'The event must have a partition.'],
    [
      'has a number as its partition',
      { operation: 'encrypt', partition: 1, plaintext: '' },
      'partition must be a string.',
    ],
  ] as const)('says what is wrong with an event that %s', async ([, event, message]) => {
    expect((await openDirectDoor()(event)).error?.errorMessage).toBe(message);
  });

  it('fails if its response is one byte larger than Lambda allows', async () => {
    const invoke = openDirectDoor();
    const about = { operation: 'encrypt-fields', partition: 'p', fields: ['$.a'] };
    const ask = (b: string): ReturnType<typeof invoke> => invoke({ ...about, document: { a: 1, b } });
    const bare = Buffer.byteLength((await ask('€')).payload ?? '');
    const most = `€${'x'.repeat(6_000_000 - bare)}`;
    expect(Buffer.byteLength((await ask(most)).payload ?? '')).toBe(6_000_000);
    expect((await ask(`${most}x`)).error?.errorType).toBe('PayloadTooLarge');
  });

  it('returns the code of a failure as the error name, but not the cause or the stack', async () => {
    const invoke = openDirectDoor();
    const sealed = parsed((await invoke(sampleEvent('encrypt'))).payload);
    const { error, runtimeLog } = await invoke({ operation: 'decrypt', partition: 'tenant-2', ...sealed });
    expect(error).toEqual({
      errorType: 'RecordUnreadable',
      errorMessage: 'The record cannot be opened for this partition.',
      trace: ['RecordUnreadable: The record cannot be opened for this partition.'],
    });
    expect(runtimeLog).not.toContain('not of this partition');
    expect(output.lines()).toContainEqual(
      expect.objectContaining({ code: 'RecordUnreadable', reasons: ['it names a key that is not of this partition'] }),
    );
    expect(output.lines()).toContainEqual(expect.objectContaining({ code: 'RecordUnreadable', RequestErrors: 1 }));
  });

  it.for(['KmsThrottled', 'KmsUnavailable', 'MetastoreUnavailable', 'KeyNotYetVisible'] as const)(
    'returns the retryable code %s as the error name',
    async (code) => {
      const world = new FakeDependencies();
      world.metastore.interfere = () => Promise.reject(new KeyfoldError(code, 'Why.', { cause: new Error('inner') }));
      const { error, runtimeLog } = await openDirectDoor({ world })(sampleEvent('encrypt'));
      expect(error).toEqual({ errorType: code, errorMessage: 'Why.', trace: [`${code}: Why.`] });
      expect(runtimeLog).not.toContain('inner');
    },
  );

  it('fails with DeadlineExceeded when only the configured margin is left of the invocation', async () => {
    const world = new FakeDependencies();
    world.metastore.interfere = () => new Promise(() => {});
    const { error } = await openDirectDoor({ world })(sampleEvent('encrypt'), lambdaContext(530));
    expect(error?.errorType).toBe('DeadlineExceeded');
  });

  it('reports an unexpected error with the code Internal, and does not show the text of the error', async () => {
    const world = new FakeDependencies();
    world.metastore.interfere = () => Promise.reject(new TypeError('CANARY is not a function'));
    const failed = await openDirectDoor({ world })(sampleEvent('encrypt'));
    expect(failed.error?.errorType).toBe('Internal');
    expect(JSON.stringify(failed) + output.text()).not.toContain('CANARY');
    expect(output.text()).toContain('TypeError at ');
  });
});

it('a directly invoked function logs no part of the event, even if Powertools is set to log events', async () => {
  vi.stubEnv('POWERTOOLS_LOGGER_LOG_EVENT', 'true');
  vi.stubEnv('POWERTOOLS_LOG_LEVEL', 'DEBUG');
  const invoke = openDirectDoor();
  const CANARY = 'CANARY';
  const plaintext = Buffer.from(CANARY).toString('base64');
  const about = { partition: 'tenant-1' };
  const sealed = parsed((await invoke({ operation: 'encrypt', ...about, plaintext })).payload);
  const failures = [
    await invoke({ operation: CANARY, partition: CANARY }),
    await invoke({ operation: 'encrypt', partition: `${CANARY}\ud800`, plaintext }),
    await invoke({ operation: 'encrypt', ...about, plaintext: CANARY, [CANARY]: CANARY }),
    await invoke({ operation: 'encrypt', ...about, plaintext: `${CANARY}!` }),
    await invoke({ operation: 'decrypt', partition: 'tenant-2', ...sealed }),
    await invoke({ operation: 'encrypt-fields', ...about, fields: ['$.a'], document: { CANARY } }),
    await invoke({ operation: 'encrypt-fields', ...about, fields: [CANARY], document: { CANARY } }),
    await invoke({ operation: 'encrypt-fields', ...about, fields: ['$'], documentText: CANARY }),
  ];
  expect(failures.map(({ error }) => error?.errorType)).toEqual([
    'InvalidRequest',
    'InvalidRequest',
    'InvalidRequest',
    'InvalidRequest',
    'RecordUnreadable',
    'FieldNotFound',
    'InvalidRequest',
    'InvalidRequest',
  ]);
  expect(JSON.stringify(failures) + output.text()).not.toMatch(new RegExp(`${CANARY}|${plaintext}`));
});
