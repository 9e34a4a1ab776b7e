import { describe, expect, it } from 'vitest';
import { KeyfoldError } from '../../../src/errors.ts';
import {
  nameFaults,
  isRegionName,
  keyKindOf,
  KeyNaming,
  parseEpochSeconds,
  parseKeyId,
  regionOfKeyId,
  registerIdOf,
  secondsOf,
  type ServiceNames,
  type PartitionId,
} from '../../../src/records/ids.ts';
import { codeOf, FakeDependencies } from '../../support/fakes.ts';

const names: ServiceNames = { service: 'svc', product: 'prod' };
const regional: ServiceNames = { ...names, regionSuffix: 'us-west-2' };

describe('the ID of a key', () => {
  it.for([
    ['one character', 'x'],
    ['2,048 bytes', 'é'.repeat(1024)],
    ['a space and a control character', ' \u0000'],
  ] as const)('can have %s', ([, id]) => {
    expect(parseKeyId(id)).toBe(id);
  });

  it.for([
    ['no characters', ''],
    ['2,049 bytes', `${'é'.repeat(1024)}x`],
    ['a lone surrogate', 'a\ud800'],
  ] as const)('is refused if it has %s', ([, id]) => {
    expect(() => parseKeyId(id)).toThrow(
      new KeyfoldError('InvalidRequest', 'A key ID must have 1 to 2048 bytes of well-formed UTF-8.'),
    );
  });

  it('must be a string', () => {
    expect(() => parseKeyId(5 as never)).toThrow(new TypeError('id must be a string, not a number.'));
  });
});

describe('a creation time', () => {
  it.for([0, -1, 253_402_300_799, Number.MAX_SAFE_INTEGER])('can be %d', (seconds) => {
    expect(parseEpochSeconds(seconds)).toBe(seconds);
  });

  it.for([1.5, Number.NaN, Infinity, Number.MAX_SAFE_INTEGER + 1])('cannot be %d', (seconds) => {
    expect(() => parseEpochSeconds(seconds)).toThrow(
      new KeyfoldError('InvalidRequest', 'A creation time must be a whole number of seconds since 1970.'),
    );
  });

  it('must be a number', () => {
    expect(() => parseEpochSeconds('60' as never)).toThrow(new TypeError('seconds must be a number, not a string.'));
  });
});

describe('a partition', () => {
  it.for([
    'a',
    'tenant-1',
    'user:42',
    'with_underscores_',
    'ünï',
    '日本',
    '\u{1f511}',
    ' ',
    '*',
    'a,b',
    '../x',
    '__proto__',
  ])('can have the name %j', (partition) => {
    expect(new KeyNaming(names).parsePartition(partition)).toBe(partition);
  });

  it.for([
    ['a null character', 'a\u0000b'],
    ['a line feed', 'a\nb'],
    ['the control character U+0085', '\u0085'],
    ['the direction override U+202E', '\u202e'],
    ['the line separator U+2028', '\u2028'],
    ['the byte order mark U+FEFF', '\ufeff'],
    ['the noncharacter U+FFFE', '\ufffe'],
    ['the language tag U+E0001', '\u{e0001}'],
    ['an escape sequence of a terminal', '\x1b[2J'],
  ] as const)('can have a name with %s', ([, partition]) => {
    expect(new KeyNaming(names).parsePartition(partition)).toBe(partition);
  });

  it.for([
    ['an empty name', '', 'is empty'],
    ['a name that ends with a high surrogate', 'a\ud800', 'is not well-formed Unicode'],
    ['a name that begins with a low surrogate', '\udc00b', 'is not well-formed Unicode'],
  ] as const)('cannot have %s', ([, partition, why]) => {
    expect(() => new KeyNaming(names).parsePartition(partition)).toThrow(
      expect.objectContaining({ code: 'InvalidRequest', message: `The partition ${why}.` }),
    );
  });

  it.for([
    ['letters of one byte', names, 'a'],
    ['letters of two bytes', names, 'é'],
    ['letters of one byte, with a region', regional, 'a'],
    ['letters of four bytes, with a region', { ...regional, service: 'ü' }, '\u{1f511}'],
  ] as const)('cannot have a name that makes a key ID longer than 2,048 bytes (%s)', ([, owned, letter]) => {
    const naming = new KeyNaming(owned);
    const room = 2048 - Buffer.byteLength(naming.intermediateKeyId(naming.parsePartition('x'))) + 1;
    const letters = letter.repeat(Math.floor(room / Buffer.byteLength(letter)));
    const longest = letters + 'x'.repeat(room - Buffer.byteLength(letters));
    expect(naming.parsePartition(longest)).toBe(longest);
    expect(() => naming.parsePartition(`${longest}x`)).toThrow(
      expect.objectContaining({
        code: 'InvalidRequest',
        message: "The partition is too long: its key id would have more than DynamoDB's 2048 bytes of UTF-8.",
      }),
    );
  });

  it('differs from a partition with another Unicode normalisation of the same name', async () => {
    const service = new FakeDependencies().process();
    const record = await service.session('caf\u00e9').encrypt(Buffer.from('x'));
    expect(await codeOf(service.session('cafe\u0301').decrypt(record))).toBe('RecordUnreadable');
  });
});

describe('key IDs', () => {
  it("are the same as Asherah's", () => {
    const partition = new KeyNaming(names).parsePartition('my_tenant');
    expect(new KeyNaming(names).systemKeyId).toBe('_SK_svc_prod');
    expect(new KeyNaming(names).intermediateKeyId(partition)).toBe('_IK_my_tenant_svc_prod');
    expect(new KeyNaming(regional).systemKeyId).toBe('_SK_svc_prod_us-west-2');
    expect(new KeyNaming(regional).intermediateKeyId(partition)).toBe('_IK_my_tenant_svc_prod_us-west-2');
  });

  it('in a record can end with any region if a region suffix is configured, but must belong to the partition', () => {
    const naming = new KeyNaming(regional);
    const a = naming.parsePartition('a');
    const own = [
      '',
      '_us-west-2',
      '_us-east-1',
      '_us-gov-west-1',
      '_ap-southeast-3',
      '_us-iso-east-1',
      '_eusc-de-east-1',
    ];
    for (const suffix of own) expect(naming.isIntermediateKeyOf(a, `_IK_a_svc_prod${suffix}`)).toBe(true);
    const others = [
      '_b',
      '_b_svc_prod',
      '_us-west-2_b',
      '2',
      '_',
      '_US-WEST-2',
      '_us-west-2 ',
      '_us-west-2_svc_prod',
      '_x-y',
    ];
    for (const tail of others) expect(naming.isIntermediateKeyOf(a, `_IK_a_svc_prod${tail}`)).toBe(false);
    expect(naming.isIntermediateKeyOf(a, '_IK_b_svc_prod')).toBe(false);
    expect(naming.isIntermediateKeyOf(a, '_SK_svc_prod')).toBe(false);
  });

  it('in a record must equal the key ID of the partition if no region suffix is configured', () => {
    const naming = new KeyNaming(names);
    const a = naming.parsePartition('a');
    expect(naming.isIntermediateKeyOf(a, '_IK_a_svc_prod')).toBe(true);
    for (const id of ['_IK_a_svc_prod_us-west-2', '_IK_a_svc_prod_b', '_IK_a_svc_pro', '_ik_a_svc_prod']) {
      expect(naming.isIntermediateKeyOf(a, id)).toBe(false);
    }
  });

  it('of a System Key can end with any region, but must belong to the service', () => {
    const naming = new KeyNaming(names);
    for (const id of ['_SK_svc_prod', '_SK_svc_prod_eu-west-1']) expect(naming.isSystemKey(id)).toBe(true);
    for (const id of ['_SK_svc_prod2', '_SK_svc_prod_x', '_SK_svc_other', '_IK_svc_prod']) {
      expect(naming.isSystemKey(id)).toBe(false);
    }
  });
});

describe.for([
  { regionSuffix: undefined, title: 'without a region suffix' },
  { regionSuffix: 'us-west-2', title: 'with a region suffix' },
])('a session $title', ({ regionSuffix }) => {
  it.for([
    { of: 'partition a_svc_prod_b', victim: 'a_svc_prod_b', product: 'prod' },
    { of: 'product prod2', victim: 'a', product: 'prod2' },
  ])('in partition a of product prod refuses a record of $of, and reads no row', async ({ victim, product }) => {
    const world = new FakeDependencies();
    const record = await world.process({ product, regionSuffix }).session(victim).encrypt(Buffer.from('secret'));
    world.log.take();
    const attacker = world.process({ regionSuffix }).session('a');
    expect(await codeOf(attacker.decrypt(record))).toBe('RecordUnreadable');
    expect(await codeOf(attacker.rewrap(record))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual([]);
  });
});

describe('a record with a key ID that DynamoDB would refuse', () => {
  it.for([
    ['has a region of more than 3,000 characters', `_us-${'a'.repeat(3000)}-1`],
    ['has a region with a part of 21 letters', `_us-${'a'.repeat(21)}-1`],
    ['has two regions', '_us-east-1_us-east-1'],
    ['has a hyphen before the region', '-us-west-2'],
    ['ends with a line feed', '_us-west-2\n'],
    ['contains half a surrogate pair', '_us-\ud800-1'],
  ] as const)('is unreadable before any row is read if the ID %s', async ([, ending]) => {
    const world = new FakeDependencies();
    const session = world.process({ regionSuffix: 'us-west-2' }).session('p');
    const record = await session.encrypt(Buffer.from('x'));
    world.log.take();
    const parent = { ...record.key.parent, id: `_IK_p_svc_prod${ending}` };
    const forged = { ...record, key: { ...record.key, parent } };
    const codes = await Promise.all([session.decrypt(forged), session.rewrap(forged)].map(codeOf));
    expect(codes).toEqual(['RecordUnreadable', 'RecordUnreadable']);
    expect(world.log.take()).toEqual([]);
  });

  it('is unreadable if the partition is so long that the region does not fit into the ID', async () => {
    const world = new FakeDependencies();
    const partition = 'p'.repeat(2048 - '_IK__svc_prod_us-west-2'.length);
    const session = world.process({ regionSuffix: 'us-west-2' }).session(partition);
    const record = await session.encrypt(Buffer.from('x'));
    world.log.take();
    const parent = { ...record.key.parent, id: `_IK_${partition}_svc_prod_ap-southeast-3` };
    expect(await codeOf(session.decrypt({ ...record, key: { ...record.key, parent } }))).toBe('RecordUnreadable');
    expect(world.log.take()).toEqual([]);
  });

  it('fails with KeyRowUnreadable if DynamoDB would refuse the ID of the System Key of the Intermediate Key', async () => {
    const world = new FakeDependencies();
    const record = await world.process({ regionSuffix: 'us-west-2' }).session('p').encrypt(Buffer.from('x'));
    const [row] = world.metastore.ofKind('IK');
    if (row?.parent === undefined) throw new Error('no key');
    const id = `_SK_svc_prod_us-${'a'.repeat(3000)}-1` as typeof row.id;
    world.metastore.change(row, { parent: { ...row.parent, id } });
    const cold = world.process({ regionSuffix: 'us-west-2' }).session('p');
    expect(await codeOf(cold.decrypt(record))).toBe('KeyRowUnreadable');
  });
});

describe("a product whose name begins with another product's name", () => {
  it('shares no key IDs with that product', () => {
    for (const product of ['prod-us-west-2', 'prod2', 'prod.us-west-2']) {
      const other = new KeyNaming({ ...regional, product, allowAmbiguousNames: true });
      const naming = new KeyNaming(regional);
      expect(naming.isIntermediateKeyOf('p' as PartitionId, `_IK_p_svc_${product}`)).toBe(false);
      expect(naming.isIntermediateKeyOf('p' as PartitionId, other.intermediateKeyId('p' as PartitionId))).toBe(false);
      expect(naming.isSystemKey(`_SK_svc_${product}`)).toBe(false);
      expect(naming.isSystemKey(other.systemKeyId)).toBe(false);
    }
  });
});

const AMBIGUOUS = 'which makes key ids ambiguous; allow it only for an existing table';
const NOT_TEXT = 'must be text of one or more characters, none of them a control character';
const TOO_LONG = "the service and the product are too long: key ids would not fit DynamoDB's 2048 bytes";

describe('KeyNaming', () => {
  it.for([
    [`the service holds an underscore, ${AMBIGUOUS}`, { service: 'a_b' }],
    [`the product holds an underscore, ${AMBIGUOUS}`, { product: 'c_d' }],
    [`the product is shaped like a region, ${AMBIGUOUS}`, { product: 'us-east-1' }],
    [`the service ${NOT_TEXT}`, { service: '' }],
    [`the product ${NOT_TEXT}`, { product: 'a\nb' }],
    [`the product ${NOT_TEXT}`, { product: 'a\u007f' }],
    [`the service ${NOT_TEXT}`, { service: '\u009fb' }],
    [`the service ${NOT_TEXT}`, { service: 'a\ud800' }],
    [TOO_LONG, { service: 's'.repeat(2048) }],
    ['the region suffix is not the name of an AWS region', { regionSuffix: 'west' }],
  ] as const)('throws the error "%s"', ([fault, change]) => {
    expect(nameFaults({ ...names, ...change })).toEqual([fault]);
    expect(() => new KeyNaming({ ...names, ...change })).toThrow(
      expect.objectContaining({
        code: 'InvalidConfiguration',
        message: expect.stringMatching(`\n- ${fault}$`) as string,
      }),
    );
  });

  it('lists every fault of the given names', () => {
    const all = { service: 'a_b', product: 'us-east-1', regionSuffix: 'west' };
    expect(nameFaults(all)).toEqual([
      `the service holds an underscore, ${AMBIGUOUS}`,
      `the product is shaped like a region, ${AMBIGUOUS}`,
      'the region suffix is not the name of an AWS region',
    ]);
    expect(nameFaults({ ...all, regionSuffix: 'us-west-2', allowAmbiguousNames: true })).toEqual([]);
  });

  it('accepts a service whose name leaves 128 bytes for the partition, but refuses a longer name', () => {
    expect(() => new KeyNaming({ ...names, service: 's'.repeat(1909) })).not.toThrow();
    expect(nameFaults({ ...names, service: 's'.repeat(1910) })).toEqual([TOO_LONG]);
  });

  it.for(['_SK_p_svc_prod', '_IK__svc_prod', '_IK_svc_prod', '_IK_\ud800_svc_prod', '_IK_p_svc_other', 'x'])(
    'finds no partition in the ID %j',
    (id) => {
      expect([new KeyNaming(names).partitionOf(id), new KeyNaming(names).isIntermediateKey(id)]).toEqual([
        undefined,
        false,
      ]);
    },
  );

  it('finds the partition in a key ID even if the product name looks like a region', () => {
    const naming = new KeyNaming({ service: 's', product: 'us-east-1', allowAmbiguousNames: true });
    expect(naming.partitionOf('_IK_a_s_us-east-1')).toBe('a');
    expect(naming.partitionOf('_IK_a_s_us-east-1_us-west-2')).toBe('a');
  });

  it('accepts ambiguous names if allowAmbiguousNames is set', () => {
    const naming = new KeyNaming({ service: 'a_b', product: 'us-east-1', allowAmbiguousNames: true });
    expect(naming.systemKeyId).toBe('_SK_a_b_us-east-1');
  });
});

describe('isRegionName', () => {
  it.for([
    'us-east-1',
    'us-gov-west-1',
    'ap-southeast-3',
    'us-iso-east-1',
    'us-isob-east-1',
    'eusc-de-east-1',
    'mx-central-1',
    'us-east-12',
    'us-e-1',
    `usgv-${'a'.repeat(20)}-${'b'.repeat(20)}-1`,
  ])('accepts %s', (name) => {
    expect(isRegionName(name)).toBe(true);
  });

  it.for([
    `us-${'a'.repeat(21)}-1`,
    'u-east-1',
    'usgov-east-1',
    'us-1',
    'us-gov-far-east-1',
    'us-east-123',
    'us-east-1 ',
    ' us-east-1',
    'US-east-1',
    'shop',
    'east-1',
    'us-east',
    'us_east_1',
    'order-service',
    'v2-api-1x',
  ])('refuses "%s"', (name) => {
    expect(isRegionName(name)).toBe(false);
  });
});

it('secondsOf cuts off the milliseconds of a time', () => {
  expect([0, 999, 1000, 1999].map(secondsOf)).toEqual([0, 0, 1, 1]);
  for (const nowMs of [Number.NaN, Infinity, 2 ** 64])
    expect(() => secondsOf(nowMs)).toThrow(new TypeError('The clock does not give milliseconds since 1970.'));
});

describe('a key ID', () => {
  it.for([
    ['_SK_svc_prod', 'a System Key without a region', 'system', undefined],
    ['_SK_svc_prod_us-east-1', 'a System Key of us-east-1', 'system', 'us-east-1'],
    ['_SK_svc_us-east-1', 'a System Key without a region', 'system', undefined],
    ['_IK_p_svc_prod', 'an Intermediate Key without a region', 'intermediate', undefined],
    ['_IK_p_svc_prod_us-gov-west-1', 'an Intermediate Key of us-gov-west-1', 'intermediate', 'us-gov-west-1'],
    ['_IK_p_svc_us-east-1', 'an Intermediate Key without a region', 'intermediate', undefined],
    ['_IK_us-east-1_svc_prod', 'an Intermediate Key without a region', 'intermediate', undefined],
    ['_SK', 'no key', undefined, undefined],
    ['_IKp_svc_prod', 'no key', undefined, undefined],
    ['no-key', 'no key', undefined, undefined],
    ['__asherah_internal_config_drift_guard_v1__:svc', 'no key', undefined, undefined],
  ] as const)('like %s belongs to %s', ([id, , kind, region]) => {
    expect([keyKindOf(id), regionOfKeyId(id)]).toEqual([kind, region]);
  });

  it('has no region if it ends with a product name that looks like a region', () => {
    const id = '_IK_a_b_svc_us-east-1';
    expect(regionOfKeyId(id)).toBe('us-east-1');
    const odd = { service: 'svc', product: 'us-east-1' };
    expect(regionOfKeyId(id, odd)).toBeUndefined();
    expect(regionOfKeyId('_IK_p_svc_prod_us-east-1', odd)).toBe('us-east-1');
  });
});

it('the ID of the erasure register is not the ID of a key, and contains the region suffix', () => {
  expect([names, regional].map(registerIdOf)).toEqual(['_EP_svc_prod', '_EP_svc_prod_us-west-2']);
  expect(keyKindOf(registerIdOf(regional))).toBeUndefined();
});
