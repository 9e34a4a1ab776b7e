import { describe, expect, it, vi } from 'vitest';
import { codeOf, DAY_MS, errorOf, FakeDependencies } from '../../support/fakes.ts';
import { decodeCompactRecord, KeyfoldError } from '../../../src/index.ts';
import { operate } from '../../support/operations.ts';

const SEALED = /"kf1j\.[\w-]+"/g;

/** Encrypts fields of a document. Returns the text of the document, with `***` in place of each compact record. */
async function sealedForm(document: string, fields: string[], more = ''): Promise<string> {
  const answer = await operate().ask(
    'encrypt-fields',
    `{"fields":${JSON.stringify(fields)},"document":${document}${more}}`,
  );
  return answer.slice('{"document":'.length, -1).replaceAll(SEALED, '***');
}

describe('encrypt-fields', () => {
  it.for([
    ['a member', '{"a":1,"b":2}', ['$.a'], '{"a":***,"b":2}'],
    ['several members', '{"a":1,"b":2,"c":3}', ['$.c', '$.a'], '{"a":***,"b":2,"c":***}'],
    ['a member named in brackets', '{"a b":1}', ["$['a b']"], '{"a b":***}'],
    ['two members named in one segment', '{"a":1,"b":2,"c":3}', ["$['a','c']"], '{"a":***,"b":2,"c":***}'],
    ['the item at an index', '[1,2,3]', ['$[1]'], '[1,***,3]'],
    ['the item at an index from the end', '[1,2,3]', ['$[-1]'], '[1,2,***]'],
    ['the items of a slice', '[0,1,2,3,4]', ['$[1:4:2]'], '[0,***,2,***,4]'],
    ['the items of a backward slice', '[0,1,2,3,4]', ['$[3:0:-2]'], '[0,***,2,***,4]'],
    ['all items of an array', '[1,[2]]', ['$[*]'], '[***,***]'],
    ['all members of an object', '{"a":1,"b":{}}', ['$.*'], '{"a":***,"b":***}'],
    ['a descendant', '{"a":{"x":1},"b":[{"x":{"y":2}}]}', ['$..x'], '{"a":{"x":***},"b":[{"x":***}]}'],
    ['the whole document', '{"a":1}', ['$'], '***'],
    ['a scalar document', '7', ['$'], '***'],
    ['a value that two paths select', '{"a":1}', ['$.a', "$['a']", '$..a'], '{"a":***}'],
    ['a value named by an escape', '{"\\u0061":1}', ['$.a'], '{"\\u0061":***}'],
    [
      'a member named __proto__',
      '{"__proto__":1,"constructor":2}',
      ['$.__proto__'],
      '{"__proto__":***,"constructor":2}',
    ],
    ['a string that looks like a compact record', '{"a":"kf1j.AAAA"}', ['$.a'], '{"a":***}'],
    ['null', '{"a":null}', ['$.a'], '{"a":***}'],
  ] as const)('encrypts %s', async ([, document, fields, sealed]) => {
    expect(await sealedForm(document, [...fields])).toBe(sealed);
  });

  it('encrypts all values under one Data Row Key if shareDataRowKey is true', async () => {
    const { answer, ask } = operate();
    const request = { document: { a: 1, b: 'two' }, fields: ['$.*'], shareDataRowKey: true };
    const { document } = (await answer('encrypt-fields', request)) as { document: { a: string; b: string } };
    const [a, b] = [document.a, document.b].map((text) => decodeCompactRecord(text).record.key.encryptedKey);
    expect(a).toEqual(b);
    expect(await ask('decrypt-fields', { document, all: true })).toBe('{"document":{"a":1,"b":"two"}}');
  });

  it('encrypts each value under its own Data Row Key by default', async () => {
    const { document } = (await operate().answer('encrypt-fields', { document: [1, 2], fields: ['$[*]'] })) as {
      document: string[];
    };
    const keys = document.map((text) => decodeCompactRecord(text).record.key.encryptedKey.toString());
    expect(new Set(keys).size).toBe(2);
  });

  it('leaves digits, order, white space and escapes in the rest of the document unchanged', async () => {
    const document = '{ "z" : 12345678901234567890 ,\n"10":1.0,"2":-0,"é\\u00e9":[1e400, "\\/"], "a":"secret"}';
    expect(await sealedForm(document, ['$.a'])).toBe(document.replace('"secret"', '***'));
  });

  it('reads member names correctly even if JSON.parse of Node 24.21 would confuse them', async () => {
    // After JSON.parse has read the first document, it reads the name "
    // " in the second as a backslash.
    for (const document of ['{"x":0,"\\\\":0}', '{"x":0,"\\n":0}']) JSON.parse(document);
    expect(await sealedForm('{"x":0,"\\n":1}', ['$["\\n"]'])).toBe('{"x":0,"\\n":***}');
    await expect(sealedForm('{"x":0,"\\n":1}', ['$["\\\\"]'])).rejects.toMatchObject({ code: 'FieldNotFound' });
  });

  it('returns documentText if the request has documentText', async () => {
    const { answer } = operate();
    const documentText = '{"a": 1.00, "b": 2.0}';
    const sealed = (await answer('encrypt-fields', { documentText, fields: ['$.a'] }))['documentText'] as string;
    expect(sealed.replaceAll(SEALED, '***')).toBe('{"a": ***, "b": 2.0}');
    expect(await answer('decrypt-fields', { documentText: sealed, all: true })).toEqual({ documentText });
  });

  it('keeps the white space around a documentText', async () => {
    const { answer } = operate();
    for (const [before, after] of [
      ['', '\n'],
      [' \t', ''],
      ['\r\n', ' \n\n'],
    ] as const) {
      for (const root of ['{"a":1}', '1', '[ ]']) {
        const documentText = `${before}${root}${after}`;
        const fields = ['$'];
        const sealed = (await answer('encrypt-fields', { documentText, fields }))['documentText'] as string;
        expect(sealed.replaceAll(SEALED, '***')).toBe(`${before}***${after}`);
        expect(await answer('decrypt-fields', { documentText: sealed, all: true })).toEqual({ documentText });
      }
    }
  });

  it('encrypts a value again if the value is already a compact record', async () => {
    const { answer } = operate();
    const { document: record } = await answer('encrypt-fields', { document: 'x', fields: ['$'] });
    const twice = await answer('encrypt-fields', { document: { a: record }, fields: ['$.a'] });
    expect(twice['document']).not.toEqual({ a: record });
    expect(await answer('decrypt-fields', { document: twice['document'], all: true })).toEqual({
      document: { a: record },
    });
  });

  it('leaves a record unchanged only if skipSealed is set and this partition can decrypt the record', async () => {
    const { answer } = operate();
    const seal = async (partition: string): Promise<unknown> =>
      (await answer('encrypt-fields', { document: 1, fields: ['$'] }, partition))['document'];
    const [own, foreign] = [await seal('tenant-1'), await seal('tenant-2')] as [string, string];
    const bytes = (await answer('encrypt', { plaintext: 'eA==', format: 'compact' }))['record'] as string;
    const noJson = bytes.replace('kf1.', 'kf1j.');
    const document = [own, bytes, foreign, noJson, `${own.slice(0, -8)}AAAAAAAA`, 'kf1j.', 'plain', 5];
    const skipped = await answer('encrypt-fields', { document, fields: ['$[*]'], skipSealed: true });
    const kept = (skipped['document'] as unknown[]).map((value, i) => value === document[i]);
    expect(kept).toEqual([true, true, false, false, false, false, false, false]);
    expect((await answer('decrypt-fields', { document: skipped['document'], all: true }))['document']).toEqual([
      1,
      'eA==',
      ...document.slice(2),
    ]);
  });

  it.for([
    'MetastoreUnavailable',
    'KmsUnavailable',
    'KmsThrottled',
    'KmsMisconfigured',
    'KeyRowUnreadable',
    'KeyNotYetVisible',
    'DeadlineExceeded',
  ] as const)("fails with %s if skipSealed is set and loading a record's key fails with that code", async (code) => {
    const world = new FakeDependencies();
    const { document } = await operate(world.process()).answer('encrypt-fields', { document: 1, fields: ['$'] });
    // Make a newer key and put it into the cache, so that the encryption under test needs no metastore call.
    world.clock.advance(91 * DAY_MS);
    const { ask } = operate(world.process());
    await ask('encrypt-fields', { document: 2, fields: ['$'] });
    world.metastore.interfere = (call) => {
      if (call.startsWith('Get')) throw new KeyfoldError(code, 'out');
    };
    const body = { document: { a: document, b: 1 }, fields: ['$.*'], skipSealed: true };
    expect(await errorOf(ask('encrypt-fields', body))).toMatchObject({ code });
    world.metastore.interfere = () => {};
    // After a row was unreadable, the key cache does not read the row again for five seconds. Let these pass.
    world.clock.advance(5000);
    const skipped = JSON.parse(await ask('encrypt-fields', body)) as { document: { a: unknown } };
    expect(skipped.document.a).toBe(document);
  });

  it('refuses a path that selects nothing, unless allowMissing is true', async () => {
    const body = { document: { a: 1 }, fields: ['$.a', '$.b'] };
    expect(await errorOf(operate().ask('encrypt-fields', body))).toMatchObject({
      code: 'FieldNotFound',
      message: 'fields[1] selects nothing.',
    });
    const sealed = await operate().ask('encrypt-fields', { ...body, allowMissing: true });
    expect(sealed.replaceAll(SEALED, '***')).toBe('{"document":{"a":***}}');
  });

  it.for([
    ['a malformed path', '{"document":{},"fields":["CANARY"]}'],
    ['a filter', '{"document":[1],"fields":["$[?@ > 0]"]}'],
    ['a filter after an index', '{"document":[1],"fields":["$[0,?match(@.a, \'(a+)+\')]"]}'],
    ['an empty list of paths', '{"document":{},"fields":[]}'],
    ['too many paths', `{"document":{},"fields":[${Array.from({ length: 101 }, () => '"$"').join()}]}`],
    ['a path that is too long', `{"document":{},"fields":["$${'.a'.repeat(500)}"]}`],
    ['a path that is not a string', '{"document":{},"fields":[1]}'],
    ['paths that select a value and its descendant', '{"document":{"a":{"b":1}},"fields":["$.a","$.a.b"]}'],
    ['one path that selects a value and its descendant', '{"document":{"a":{"a":1}},"fields":["$..a"]}'],
    ['a request without a document', '{"fields":["$"]}'],
    ['a request with document and documentText', '{"document":1,"documentText":"1","fields":["$"]}'],
    ['a null document beside a documentText', '{"document":null,"documentText":"1","fields":["$"]}'],
    ['a documentText that is not JSON', '{"documentText":"{CANARY}","fields":["$"]}'],
    ['two members of one name', '{"document":{"a":1,"a":2},"fields":["$.a"]}'],
    ['two members of one name, escaped', '{"document":{"a":1,"\\u0061":2},"fields":["$.a"]}'],
    ['two members of one name in a documentText', '{"documentText":"[{\\"a\\":1,\\"a\\":2}]","fields":["$"]}'],
    ['two document members', '{"document":{"a":1},"fields":["$.a"],"document":{}}'],
    ['a lone surrogate in a documentText', '{"documentText":"\\"\\ud800\\"","fields":["$"]}'],
    ['a lone surrogate without an escape in a document', '{"document":"\ud800","fields":["$"]}'],
    ['an unknown member', '{"document":{},"fields":["$"],"CANARY":1}'],
    ['a document that is nested too deeply', `{"document":${'['.repeat(200)}${']'.repeat(200)},"fields":["$"]}`],
    ['a document with too many values', `{"document":[${'1,'.repeat(100_000)}1],"fields":["$"]}`],
    ['more selected values than maxItems', '{"document":[1,2,3,4],"fields":["$[*]"]}'],
    [
      'paths that visit too many values',
      `{"document":${'['.repeat(40)}${'1,'.repeat(90_000)}1${']'.repeat(40)},"fields":["$${'..*'.repeat(20)}"]}`,
    ],
  ] as const)('refuses %s before it reads a key, and quotes no part of the request in the error', async ([, body]) => {
    const world = new FakeDependencies();
    const error = await errorOf(operate(world.process(), { maxItems: 3 }).ask('encrypt-fields', body));
    expect(error).toMatchObject({ code: 'InvalidRequest' });
    expect(String(error)).not.toContain('CANARY');
    expect(world.log.take()).toEqual([]);
  });

  it('names the step limit in its error if paths visit too many values', async () => {
    const document = `${'['.repeat(40)}${'1,'.repeat(90_000)}1${']'.repeat(40)}`;
    const body = `{"document":${document},"fields":["$${'..*'.repeat(20)}"]}`;
    expect(await errorOf(operate().ask('encrypt-fields', body))).toMatchObject({
      message: "The request's fields take more than 1000000 steps through the document.",
    });
  });

  it('refuses too much plaintext, or a response that is too large, before it reads a key', async () => {
    const world = new FakeDependencies();
    const body = { document: ['aaaa', 'bbbb'], fields: ['$[*]'] };
    const small = operate(world.process(), { plaintextLimitBytes: 11 });
    expect(await codeOf(small.ask('encrypt-fields', body))).toBe('PayloadTooLarge');
    const tight = operate(world.process(), { answerFits: (answer) => answer.length < 300 });
    expect(await codeOf(tight.ask('encrypt-fields', body))).toBe('PayloadTooLarge');
    expect(world.log.take()).toEqual([]);
    expect(await tight.ask('encrypt-fields', { ...body, fields: ['$[0]'] })).toMatch(SEALED);
  });

  it('starts fewer than ten deadline timers for a request with 1,000 values', async () => {
    const world = new FakeDependencies();
    const timers = vi.spyOn(globalThis, 'setTimeout');
    const { answer } = operate(world.process(), { limits: { deadlineAtMs: world.clock.nowMs + 60_000 } });
    const { document } = await answer('encrypt-fields', { document: Array(1000).fill(1), fields: ['$[*]'] });
    const ofEncrypt = timers.mock.calls.length;
    const cold = operate(world.process(), { limits: { deadlineAtMs: world.clock.nowMs + 60_000 } });
    await cold.answer('decrypt-fields', { document, all: true });
    expect(ofEncrypt).toBeLessThan(10);
    expect(timers.mock.calls.length - ofEncrypt).toBeLessThan(10);
    timers.mockRestore();
  });

  it('computes the exact length of its response before it encrypts', async () => {
    const sizes: number[] = [];
    const answerFits = (answer: string): boolean => sizes.push(answer.length) > 0;
    const document = { a: 'é', b: [1, 2.5, null], c: 'x'.repeat(1000) };
    for (const more of [{}, { context: { table: 'users' } }]) {
      const body = { document, fields: ['$.*'], ...more };
      const answer = await operate(undefined, { answerFits }).ask('encrypt-fields', body);
      expect(sizes.splice(0)).toEqual([answer.length]);
    }
  });
});

describe('decrypt-fields', () => {
  const TEXT = '{"a": 12345678901234567890, "b": {"c": [1.0, -0, "\\u00e9"]}, "d": null}';

  async function sealed(): Promise<{ ask: ReturnType<typeof operate>['ask']; text: string }> {
    const { ask } = operate();
    const answer = await ask('encrypt-fields', `{"document":${TEXT},"fields":["$.a","$.b.c"]}`);
    return { ask, text: answer.slice(1, -1) };
  }

  it('restores the original text of every value', async () => {
    const { ask, text } = await sealed();
    expect(await ask('decrypt-fields', `{${text},"fields":["$.b.c","$.a"]}`)).toBe(`{"document":${TEXT}}`);
    expect(await ask('decrypt-fields', `{${text},"all":true}`)).toBe(`{"document":${TEXT}}`);
  });

  it('decrypts only the selected fields', async () => {
    const { ask, text } = await sealed();
    const opened = await ask('decrypt-fields', `{${text},"fields":["$.a"]}`);
    expect(opened.replaceAll(SEALED, '***')).toBe(`{"document":${TEXT.replace('[1.0, -0, "\\u00e9"]', '***')}}`);
  });

  it('returns base64 for a record that contains bytes', async () => {
    const { answer } = operate();
    const { record } = await answer('encrypt', { plaintext: 'AAEC', format: 'compact' });
    expect(await answer('decrypt-fields', { document: { record }, all: true })).toEqual({
      document: { record: 'AAEC' },
    });
  });

  it('finds a record even if its prefix is written with JSON escapes', async () => {
    const { ask } = operate();
    const record = await ask('encrypt-fields', { document: 5, fields: ['$'] });
    const escaped = record.replace('kf1j', '\\u006bf1j');
    expect(await ask('decrypt-fields', `${escaped.slice(0, -1)},"all":true}`)).toBe('{"document":5}');
  });

  it('does not decrypt records inside a value that it decrypted', async () => {
    const { answer } = operate();
    const { document: inner } = await answer('encrypt-fields', { document: 1, fields: ['$'] });
    const { document: outer } = await answer('encrypt-fields', { document: { inner }, fields: ['$'] });
    expect(await answer('decrypt-fields', { document: outer, all: true })).toEqual({ document: { inner } });
  });

  it('returns a document without records unchanged', async () => {
    expect(await operate().ask('decrypt-fields', '{"document": {"kf1j.": 1, "a" : "x"}, "all":true}')).toBe(
      '{"document":{"kf1j.": 1, "a" : "x"}}',
    );
  });

  it.for([
    ['truncated', (r: string) => r.slice(0, -4)],
    ['changed', (r: string) => `${r.slice(0, -8)}AAAAAAAA`],
    ['cut off after its prefix', () => 'kf1j.'],
    ['changed to name another partition', (r: string) => r.replace('VuYW50', 'VuYW51')],
  ] as const)('fails with RecordUnreadable if a record was %s', async ([, change]) => {
    const { answer, ask } = operate();
    const { document: record } = await answer('encrypt-fields', { document: 'x', fields: ['$'] });
    const tampered = change(record as string);
    expect(tampered).not.toBe(record);
    for (const which of [{ all: true }, { fields: ['$.a'] }]) {
      expect(await codeOf(ask('decrypt-fields', { document: { a: tampered, b: record }, ...which }))).toBe(
        'RecordUnreadable',
      );
    }
  });

  it('fails with RecordUnreadable if a record of bytes was relabelled as JSON', async () => {
    const { answer, ask } = operate();
    const notJson = 'the payload is not the text of a JSON value';
    for (const [payload, why] of [
      ['', notJson],
      ['x', notJson],
      ['\xff', notJson],
      ['1,"b":2', notJson],
      ['\xef\xbb\xbf1', notJson],
      ['"\xff"', notJson],
      [`${'['.repeat(101)}${']'.repeat(101)}`, 'the payload is nested too deeply for a field'],
    ] as const) {
      const plaintext = Buffer.from(payload, 'latin1').toString('base64');
      const { record } = await answer('encrypt', { plaintext, format: 'compact' });
      const field = (record as string).replace('kf1.', 'kf1j.');
      expect(await errorOf(ask('decrypt-fields', { document: field, all: true }))).toMatchObject({
        code: 'RecordUnreadable',
        cause: { message: why },
      });
    }
  });

  it('waits for all calls in progress before it fails', async () => {
    const world = new FakeDependencies();
    const warm = operate(world.process());
    const seal = async (partition: string): Promise<unknown> =>
      (await warm.answer('encrypt-fields', { document: 1, fields: ['$'] }, partition))['document'];
    const document = [await seal('tenant-2'), await seal('tenant-1')];
    world.log.take();
    for (const [operation, more] of [
      ['decrypt-fields', { all: true }],
      ['decrypt-fields', { fields: ['$[*]'] }],
    ] as const) {
      expect(await codeOf(operate(world.process()).ask(operation, { document, ...more }))).toBe('RecordUnreadable');
      world.log.take();
      await new Promise((resolve) => setTimeout(resolve, 5));
      expect(world.log.take()).toEqual([]);
    }
  });

  it.for([
    ['a string that is not a record', { document: { a: 'plain' }, fields: ['$.a'] }, 'InvalidRequest'],
    ['a value that is not a string', { document: { a: 1 }, fields: ['$.a'] }, 'InvalidRequest'],
    ['a path that selects nothing', { document: {}, fields: ['$.a'] }, 'FieldNotFound'],
    ['a request with neither fields nor all', { document: {} }, 'InvalidRequest'],
    ['"all" together with allowMissing', { document: {}, all: true, allowMissing: true }, 'InvalidRequest'],
    ['a request with both "fields" and "all"', { document: {}, fields: ['$'], all: true }, 'InvalidRequest'],
    ['the value false for "all"', { document: {}, all: false }, 'InvalidRequest'],
    ['more records than maxItems', { document: ['kf1.', 'kf1.', 'kf1.', 'kf1.'], all: true }, 'InvalidRequest'],
  ] as const)('refuses %s', async ([, body, code]) => {
    const world = new FakeDependencies();
    expect(await codeOf(operate(world.process(), { maxItems: 3 }).ask('decrypt-fields', body))).toBe(code);
    expect(world.log.take()).toEqual([]);
  });

  it('refuses records whose plaintexts together exceed the limit', async () => {
    const world = new FakeDependencies();
    const { document } = await operate(world.process()).answer('encrypt-fields', {
      document: ['aaaa', 'bbbb'],
      fields: ['$[*]'],
    });
    world.log.take();
    const cold = operate(world.process(), { plaintextLimitBytes: 11 });
    expect(await codeOf(cold.ask('decrypt-fields', { document, all: true }))).toBe('PayloadTooLarge');
    expect(world.log.take()).toEqual([]);
  });
});
