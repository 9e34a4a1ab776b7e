import { describe, expect, it } from 'vitest';
import { KeyfoldError } from '../../../src/index.ts';
import { codeOf, FakeDependencies } from '../../support/fakes.ts';
import { operate, type Answer } from '../../support/operations.ts';

const base64 = (text: string): string => Buffer.from(text).toString('base64');
const plaintexts = (...texts: string[]): { items: object[] } => ({
  items: texts.map((t) => ({ plaintext: base64(t) })),
});

function results(answer: Answer): Answer[] {
  return answer['results'] as Answer[];
}

/** Returns the encrypted Data Row Key of a record. */
function keyOf({ record }: Answer): string {
  return (record as { Key: { Key: string } }).Key.Key;
}

describe('batch operations', () => {
  it('return their results in the order of the items', async () => {
    const { answer } = operate();
    const sealed = await answer('encrypt-batch', plaintexts('a', 'b', 'c'));
    const opened = await answer('decrypt-batch', { items: results(sealed).toReversed() });
    expect(opened).toEqual({ results: ['c', 'b', 'a'].map((t) => ({ plaintext: base64(t) })) });
  });

  it('return the error of a failed item in its place, and process the other items', async () => {
    const { answer, itemFailures } = operate();
    const [record] = results(await answer('encrypt-batch', plaintexts('a')));
    const foreign = await answer('encrypt', { plaintext: '' }, 'tenant-2');
    const opened = await answer('decrypt-batch', { items: [foreign, record, {}, { record: 'kf1.' }, 7] });
    const invalid = { error: { code: 'InvalidRequest', detail: expect.any(String) as unknown } };
    expect(opened).toEqual({
      results: [
        { error: { code: 'RecordUnreadable', detail: 'The record cannot be opened for this partition.' } },
        { plaintext: base64('a') },
        invalid,
        invalid,
        invalid,
      ],
    });
    expect(itemFailures.map(({ code }) => code).toSorted()).toEqual([
      'InvalidRequest',
      'InvalidRequest',
      'InvalidRequest',
      'RecordUnreadable',
    ]);
  });

  it('move records to the latest key with rewrap-batch, and report which records they moved', async () => {
    const world = new FakeDependencies();
    const { answer } = operate(world.process());
    const old = results(await answer('encrypt-batch', plaintexts('a', 'b')));
    world.clock.advance(91 * 86_400_000);
    const late = await answer('encrypt', { plaintext: base64('c') });
    const moved = results(await answer('rewrap-batch', { items: [...old, late] }));
    expect(moved.map(({ rewrapped }) => rewrapped)).toEqual([true, true, false]);
    expect(await answer('decrypt-batch', { items: moved.map(({ record }) => ({ record })) })).toEqual({
      results: ['a', 'b', 'c'].map((t) => ({ plaintext: base64(t) })),
    });
  });

  it('encrypt under one Data Row Key if shareDataRowKey is true', async () => {
    const { answer } = operate();
    const own = results(await answer('encrypt-batch', plaintexts('a', 'b')));
    expect(new Set(own.map(keyOf)).size).toBe(2);
    const shared = results(await answer('encrypt-batch', { ...plaintexts('a', 'b'), shareDataRowKey: true }));
    expect(new Set(shared.map(keyOf)).size).toBe(1);
    expect(await answer('decrypt', { record: shared[1]?.['record'] })).toEqual({ plaintext: base64('b') });
    expect(await answer('decrypt-batch', { items: [...shared, ...own] })).toEqual({
      results: ['a', 'b', 'a', 'b'].map((t) => ({ plaintext: base64(t) })),
    });
    for (const operation of ['decrypt-batch', 'rewrap-batch'] as const) {
      expect(await codeOf(answer(operation, { items: shared, shareDataRowKey: true }))).toBe('InvalidRequest');
    }
  });

  it('load the keys of a partition only once', async () => {
    const world = new FakeDependencies();
    const sealed = await operate(world.process()).answer('encrypt-batch', plaintexts('a', 'b', 'c', 'd'));
    expect(world.log.take()).toEqual(['Query IK', 'Query SK', 'Wrap', 'Put SK', 'Put IK']);
    await operate(world.process()).answer('decrypt-batch', { items: results(sealed) });
    expect(world.log.take()).toEqual(['Get IK', 'Get SK', 'Unwrap']);
  });

  it('return the same error for each item if the metastore is down', async () => {
    const world = new FakeDependencies();
    world.metastore.interfere = () => {
      throw new KeyfoldError('MetastoreUnavailable', 'out');
    };
    const error = { code: 'MetastoreUnavailable', detail: 'out' };
    expect(await operate(world.process()).answer('encrypt-batch', plaintexts('a', 'b'))).toEqual({
      results: [{ error }, { error }],
    });
  });

  it('fail as a whole if one item causes an unexpected error', async () => {
    const world = new FakeDependencies();
    world.metastore.interfere = () => {
      throw new TypeError('a defect');
    };
    await expect(operate(world.process()).ask('encrypt-batch', plaintexts('a'))).rejects.toThrow('a defect');
  });

  it('accept an empty list of items', async () => {
    expect(await operate().answer('encrypt-batch', { items: [] })).toEqual({ results: [] });
  });

  it.for([
    ['items is not an array', { items: {} }, 'InvalidRequest'],
    ['items is missing', {}, 'InvalidRequest'],
    ['there are more than maxItems items', plaintexts('a', 'b', 'c', 'd'), 'InvalidRequest'],
    ['the items exceed the plaintext limit', plaintexts('aaaaa', 'bbbbb', 'c'), 'PayloadTooLarge'],
  ] as const)('refuse a request before any key is read if %s', async ([, body, code]) => {
    const world = new FakeDependencies();
    const { ask } = operate(world.process(), { maxItems: 3, plaintextLimitBytes: 10 });
    expect(await codeOf(ask('encrypt-batch', body))).toBe(code);
    expect(world.log.take()).toEqual([]);
  });

  it('do not count malformed items towards the plaintext limit', async () => {
    const { answer } = operate(undefined, { plaintextLimitBytes: 10 });
    const items = [...plaintexts('aaaaa', 'bbbbb').items, { plaintext: 'bad' }];
    expect(results(await answer('encrypt-batch', { items }))).toMatchObject([
      { record: expect.any(Object) as object },
      { record: expect.any(Object) as object },
      { error: { code: 'InvalidRequest' } },
    ]);
  });

  it('limit the total plaintext size of the records in decrypt-batch and rewrap-batch', async () => {
    const world = new FakeDependencies();
    const sealed = await operate(world.process()).answer('encrypt-batch', plaintexts('aaaaa', 'bbbbb', 'c'));
    world.log.take();
    const cold = operate(world.process(), { plaintextLimitBytes: 10 });
    for (const operation of ['decrypt-batch', 'rewrap-batch'] as const) {
      expect(await codeOf(cold.ask(operation, { items: results(sealed) }))).toBe('PayloadTooLarge');
      await expect(cold.answer(operation, { items: results(sealed).slice(1) })).resolves.toHaveProperty('results');
    }
  });
});

describe('a record too short to decrypt', () => {
  it('does not raise the plaintext limit for the other records in its batch', async () => {
    const world = new FakeDependencies();
    const { answer, ask } = operate(world.process(), { plaintextLimitBytes: 10 });
    const sealed = await operate(world.process()).answer('encrypt', plaintexts('a'.repeat(11)).items[0]);
    const short = { record: { ...(sealed['record'] as object), Data: '' } };
    expect(await codeOf(ask('decrypt-batch', { items: [sealed, short] }))).toBe('PayloadTooLarge');
    expect(results(await answer('decrypt-batch', { items: [short] }))).toMatchObject([
      { error: { code: 'RecordUnreadable' } },
    ]);
  });
});

describe('the format of a record', () => {
  it('is compact after encrypt if the request asks for the compact format', async () => {
    const { answer } = operate();
    const object = await answer('encrypt', { plaintext: base64('x') });
    const compact = await answer('encrypt', { plaintext: base64('x'), format: 'compact' });
    expect(object['record']).toMatchObject({ Key: { ParentKeyMeta: { KeyId: '_IK_tenant-1_svc_prod' } } });
    expect(compact['record']).toMatch(/^kf1\.[\w-]+$/);
    for (const given of [object, compact]) expect(await answer('decrypt', given)).toEqual({ plaintext: base64('x') });
  });

  it('stays the same in a rewrap unless the request asks for the compact format', async () => {
    const world = new FakeDependencies();
    const { answer } = operate(world.process());
    const object = await answer('encrypt', { plaintext: base64('x') });
    const compact = await answer('encrypt', { plaintext: base64('x'), format: 'compact' });
    const field = await answer('encrypt-fields', { document: 'x', fields: ['$'] });
    const forms = async (): Promise<unknown[]> => [
      (await answer('rewrap', object))['record'],
      (await answer('rewrap', compact))['record'],
      (await answer('rewrap', { record: field['document'] }))['record'],
      (await answer('rewrap', { ...object, format: 'compact' }))['record'],
      (await answer('rewrap', { record: field['document'], format: 'compact' }))['record'],
    ];
    expect((await forms()).map(formOf)).toEqual(['object', 'kf1', 'kf1j', 'kf1', 'kf1j']);
    world.clock.advance(91 * 86_400_000);
    const moved = await forms();
    expect(moved.map(formOf)).toEqual(['object', 'kf1', 'kf1j', 'kf1', 'kf1j']);
    expect(await answer('decrypt', { record: moved[3] })).toEqual({ plaintext: base64('x') });
  });
});

function formOf(record: unknown): string {
  return typeof record === 'string' ? record.slice(0, record.indexOf('.')) : typeof record;
}
