import { inspect } from 'node:util';
import { beforeEach, describe, expect, it } from 'vitest';
import { EnvelopeKey } from '../../../src/envelope/envelope-key.ts';
import { KeyfoldError, StaticKms } from '../../../src/index.ts';
import { errorOf, FakeDependencies } from '../../support/fakes.ts';

const CANARY = 'CANARY-of-the-plaintext';
let world: FakeDependencies;

beforeEach(() => {
  world = new FakeDependencies();
});

/**
 * Everything that a program could print about a value: its JSON, the output of `inspect`, and the causes of an error.
 */
function everything(value: unknown): string {
  const inspected = inspect(value, {
    depth: Infinity,
    showHidden: true,
    maxArrayLength: Infinity,
    maxStringLength: Infinity,
  });
  const causes = value instanceof Error && value.cause !== undefined ? everything(value.cause) : '';
  return `${inspected}\n${JSON.stringify(value)}\n${causes}`;
}

/** The forms in which a secret could appear: hex, base64, Latin-1, and lists of its bytes. */
function formsOf(secret: Buffer): string[] {
  const bytes = inspect(secret, { maxArrayLength: Infinity }).replace(/^<Buffer |>$/g, '');
  return [secret.toString('hex'), secret.toString('base64'), secret.toString('latin1'), bytes, [...secret].join(', ')];
}

describe('plaintext keys', () => {
  it('are never printed, because an EnvelopeKey prints only its ID and date', () => {
    const bytes = Buffer.from('0123456789abcdef0123456789abcdef');
    const standing = { id: '_IK_p', created: 60, revoked: false, exhausted: false, checkedAtMs: 0 };
    const key = new EnvelopeKey(Buffer.from(bytes), 0, standing as never);
    expect(JSON.stringify(key)).toBe('{"id":"_IK_p","created":60}');
    expect(inspect(key, { depth: Infinity, showHidden: true })).toBe('EnvelopeKey(_IK_p created 60)');
    for (const form of formsOf(bytes)) expect(everything({ key })).not.toContain(form);
  });

  it('do not appear if a factory, session or KMS is printed', async () => {
    const masterKey = Buffer.from('thisIsAStaticMasterKeyForTesting');
    const kms = new StaticKms(masterKey, {});
    const service = world.process({ kms });
    const session = service.session('p');
    await session.encrypt(Buffer.from(CANARY));
    for (const holder of [service, session, kms]) {
      for (const form of formsOf(masterKey)) expect(everything(holder)).not.toContain(form);
    }
  });
});

describe('an error of a session', () => {
  it('contains no part of the payload, whichever call fails', async () => {
    const secret = Buffer.from(CANARY);
    const record = await world.process().session('p').encrypt(secret);
    const tampered = { ...record, data: Buffer.concat([record.data, Buffer.from([1])]) };
    const errors = [await errorOf(world.process().session('p').decrypt(tampered))];
    errors.push(await errorOf(world.process().session('q').decrypt(record)));
    for (const failing of ['Query IK', 'Query SK', 'Wrap', 'Put SK', 'Put IK']) {
      const interfere = (call: string): void => {
        if (call === failing) throw new KeyfoldError('MetastoreUnavailable', 'down');
      };
      world.kms.interfere = interfere;
      world.metastore.interfere = interfere;
      world.metastore.rows.clear();
      errors.push(await errorOf(world.process().session('p').encrypt(secret)));
    }
    expect(errors).toHaveLength(7);
    for (const error of errors) {
      for (const form of formsOf(secret)) expect(everything(error)).not.toContain(form);
    }
  });
});
