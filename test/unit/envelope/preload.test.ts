import { beforeEach, describe, expect, it } from 'vitest';
import { codeOf, DAY_MS, FakeDependencies } from '../../support/fakes.ts';

const PAYLOAD = Buffer.from('payload');
let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
});

describe('SessionFactory.preload', () => {
  it('loads the System Key in advance, so that the first encrypt or decrypt does not load the key', async () => {
    const record = await world.process().session('known').encrypt(PAYLOAD);
    const requests = [
      [(started) => started.session('known').encrypt(PAYLOAD), ['Query IK']],
      [(started) => started.session('new').encrypt(PAYLOAD), ['Query IK', 'Put IK']],
      [(started) => started.session('known').decrypt(record), ['Get IK']],
    ] as const satisfies [(started: ReturnType<typeof world.process>) => Promise<unknown>, string[]][];
    for (const [request, calls] of requests) {
      const started = world.process();
      world.log.take();
      await started.preload();
      expect(world.log.take()).toEqual(['Query SK', 'Unwrap']);
      await request(started);
      expect(world.log.take()).toEqual(calls);
    }
  });

  it('does not create a System Key if the metastore is empty', async () => {
    await world.process().preload();
    expect(world.log.take()).toEqual(['Query SK']);
  });

  it('does not unwrap an expired System Key', async () => {
    await world.process().session('p').encrypt(PAYLOAD);
    world.clock.advance(91 * DAY_MS);
    world.log.take();
    const started = world.process();
    await started.preload();
    expect(world.log.take()).toEqual(['Query SK']);
    await started.session('p').encrypt(PAYLOAD);
    expect(world.log.take()).toContain('Put SK');
  });

  it('fails with DeadlineExceeded at its deadline, and the first request then loads the key', async () => {
    await world.process().session('p').encrypt(PAYLOAD);
    const started = world.process();
    world.kms.interfere = (_, { signal }) =>
      new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => reject(signal.reason as Error));
      });
    expect(await codeOf(started.preload({ deadlineAtMs: world.clock.nowMs + 20 }))).toBe('DeadlineExceeded');
    world.kms.interfere = () => {};
    expect((await started.session('p').encrypt(PAYLOAD)).data.length).toBeGreaterThan(0);
    await world.process().preload({ deadlineAtMs: world.clock.nowMs + 60_000 });
  });
});

describe('SessionFactory.checkSystemKey', () => {
  it('fails with KeyNotYetVisible if the service has no System Key, and makes none', async () => {
    await expect(world.process().checkSystemKey()).rejects.toMatchObject({
      code: 'KeyNotYetVisible',
      message: 'The service has no System Key yet. The first encrypt makes one.',
    });
    expect(world.log.take()).toEqual(['Query SK']);
  });

  it('fails with DeadlineExceeded at its deadline, even if the KMS ignores the signal of the deadline', async () => {
    await world.process().session('p').encrypt(PAYLOAD);
    const service = world.process();
    world.kms.interfere = () => new Promise(() => {});
    expect(await codeOf(service.checkSystemKey({ deadlineAtMs: world.clock.nowMs + 20 }))).toBe('DeadlineExceeded');
    world.kms.interfere = () => {};
    await service.checkSystemKey({ deadlineAtMs: world.clock.nowMs + 60_000 });
  });
});
