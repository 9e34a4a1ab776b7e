/**
 * Tests payloads so large that their buffers are freed immediately. Smaller buffers share pooled memory and are not
 * freed.
 */
import { afterEach, expect, it, vi } from 'vitest';
import { Session } from '../../../src/envelope/session.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { operate } from '../../support/operations.ts';

const PLAINTEXT = Buffer.alloc(40_000, 'a payload of some length ').toString('base64');
const FORMS = [
  ['the default', {}],
  ['the compact', { format: 'compact' }],
] as const;

it.for(FORMS)('encrypt, rewrap and decrypt process a large payload in %s format', async ([, form]) => {
  const world = new FakeDependencies();
  const { answer } = operate(world.process());
  const { record } = await answer('encrypt', { plaintext: PLAINTEXT, ...form });
  const left = await answer('rewrap', { record });
  expect(left).toEqual({ record, rewrapped: false });
  world.clock.advance(91 * 86_400_000);
  const moved = await answer('rewrap', { record });
  expect(moved).toMatchObject({ rewrapped: true });
  for (const each of [record, moved['record']]) {
    expect(await answer('decrypt', { record: each })).toEqual({ plaintext: PLAINTEXT });
  }
});

afterEach(() => vi.restoreAllMocks());

it('operations free the memory of large payloads before they return', async () => {
  const { answer } = operate();
  const sealToJson = vi.spyOn(Session.prototype, 'encryptToJson');
  const seal = vi.spyOn(Session.prototype, 'encrypt');
  const move = vi.spyOn(Session.prototype, 'rewrap');
  const open = vi.spyOn(Session.prototype, 'decrypt');
  const { record } = await answer('encrypt', { plaintext: PLAINTEXT });
  await answer('encrypt', { plaintext: PLAINTEXT, format: 'compact' });
  await answer('rewrap', { record });
  await answer('decrypt', { record });
  const sizes = {
    sealedToJson: sealToJson.mock.calls[0]?.[0].length,
    sealed: seal.mock.calls[0]?.[0].length,
    record: (await seal.mock.results[0]?.value)?.data.length,
    moved: move.mock.calls[0]?.[0].data.length,
    opened: open.mock.calls[0]?.[0].data.length,
    plaintext: (await open.mock.results[0]?.value)?.length,
  };
  expect(sizes).toEqual({ sealedToJson: 0, sealed: 0, record: 0, moved: 0, opened: 0, plaintext: 0 });
});

it.for([
  ['a Data Row Key for each item', false],
  ['a shared Data Row Key', true],
] as const)(
  'batch operations process large payloads with %s even if an item is malformed',
  async ([, shareDataRowKey]) => {
    const { answer } = operate(new FakeDependencies().process());
    const items = [{ plaintext: PLAINTEXT }, { plaintext: 'bad' }, { plaintext: PLAINTEXT }];
    const sealed = (await answer('encrypt-batch', { items, shareDataRowKey }))['results'] as { record: unknown }[];
    const [first, , third] = sealed;
    const moved = await answer('rewrap-batch', { items: [first, third, first] });
    expect(moved['results']).toEqual([first, third, first].map((item) => ({ record: item?.record, rewrapped: false })));
    const opened = await answer('decrypt-batch', { items: [first, { record: 'bad' }, third, first] });
    const good = { plaintext: PLAINTEXT };
    expect(opened['results']).toEqual([good, { error: expect.anything() }, good, good]);
  },
);
