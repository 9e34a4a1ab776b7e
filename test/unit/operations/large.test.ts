/** Payloads whose memory is given back: less shares its memory with others, and stays. */
import { expect, it } from 'vitest';
import { FakeWorld } from '../../support/fakes.ts';
import { operate } from '../../support/operations.ts';

const PLAINTEXT = Buffer.alloc(40_000, 'a payload of some length ').toString('base64');
const FORMS = [{}, { format: 'compact' }];

it.for(FORMS)('a large payload is sealed, moved, left where it is and opened (%o)', async (form) => {
  const world = new FakeWorld();
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

it.for([false, true])('large payloads in a batch, one of them bad (shared key: %s)', async (shareDataRowKey) => {
  const { answer } = operate(new FakeWorld().process());
  const items = [{ plaintext: PLAINTEXT }, { plaintext: 'bad' }, { plaintext: PLAINTEXT }];
  const sealed = (await answer('encrypt-batch', { items, shareDataRowKey }))['results'] as { record: unknown }[];
  const [first, , third] = sealed;
  const moved = await answer('rewrap-batch', { items: [first, third, first] });
  expect(moved['results']).toEqual([first, third, first].map((item) => ({ record: item?.record, rewrapped: false })));
  const opened = await answer('decrypt-batch', { items: [first, { record: 'bad' }, third, first] });
  const good = { plaintext: PLAINTEXT };
  expect(opened['results']).toEqual([good, { error: expect.anything() }, good, good]);
});
