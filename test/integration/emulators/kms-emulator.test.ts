import { mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import {
  CancelKeyDeletionCommand,
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetKeyRotationStatusCommand,
  KMSClient,
  ListAliasesCommand,
  ListKeysCommand,
  RotateKeyOnDemandCommand,
  ScheduleKeyDeletionCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { Regions } from '../../../emulators/kms/regions.ts';

const REGION = 'us-west-2';
let emulator: KmsEmulator;
let kms: KMSClient;
let keyArn: string;

beforeEach(async () => {
  emulator = await startKmsEmulator();
  kms = client();
  ({ keyArn } = await emulator.ensureKey(REGION, 'alias/test'));
});
afterEach(() => emulator.close());

function client(
  region = REGION,
  accessKeyId = 'local',
  endpoint = emulator.endpoint,
  requestTimeout = 10_000,
): KMSClient {
  return new KMSClient({
    region,
    endpoint,
    maxAttempts: 1,
    credentials: { accessKeyId, secretAccessKey: 'x' },
    requestHandler: { requestTimeout, throwOnRequestTimeout: true },
  });
}

async function nameOf(work: Promise<unknown>): Promise<string> {
  return work.then(
    () => 'no error',
    (error: unknown) => (error as Error).name,
  );
}

const encrypt = (plaintext: Uint8Array, KeyId = keyArn): EncryptCommand =>
  new EncryptCommand({ KeyId, Plaintext: plaintext });

describe('KMS emulator: keys', () => {
  it('a rotated key encrypts under a new backing key, and still decrypts earlier ciphertexts', async () => {
    const before = await kms.send(encrypt(Buffer.from('before')));
    expect((await kms.send(new RotateKeyOnDemandCommand({ KeyId: keyArn }))).KeyId).toBe(keyArn.replace(/.*\//, ''));
    const after = await kms.send(encrypt(Buffer.from('after')));
    for (const [text, { CiphertextBlob }] of [
      ['before', before],
      ['after', after],
    ] as const) {
      const { Plaintext = [] } = await kms.send(new DecryptCommand({ CiphertextBlob }));
      expect(Buffer.from(Plaintext).toString()).toBe(text);
    }
  });

  it('a key stays disabled after its scheduled deletion is cancelled', async () => {
    const { DeletionDate } = await kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyArn }));
    expect(((DeletionDate?.getTime() ?? 0) - Date.now()) / 86_400_000).toBeCloseTo(30, 1);
    expect(await nameOf(kms.send(encrypt(Buffer.from('x'))))).toBe('KMSInvalidStateException');
    await kms.send(new CancelKeyDeletionCommand({ KeyId: keyArn }));
    expect((await kms.send(new DescribeKeyCommand({ KeyId: keyArn }))).KeyMetadata?.KeyState).toBe('Disabled');
    expect(await nameOf(kms.send(new CancelKeyDeletionCommand({ KeyId: keyArn })))).toBe('KMSInvalidStateException');
  });

  it('a caller from another account can use a key only by its ARN, and cannot manage the key', async () => {
    const stranger = client(REGION, '999999999999');
    expect(await nameOf(stranger.send(encrypt(Buffer.from('x'), keyArn.replace(/.*\//, ''))))).toBe(
      'NotFoundException',
    );
    expect(await nameOf(stranger.send(encrypt(Buffer.from('x'), 'alias/test')))).toBe('NotFoundException');
    expect((await stranger.send(encrypt(Buffer.from('x')))).KeyId).toBe(keyArn);
    expect(await nameOf(stranger.send(new DisableKeyCommand({ KeyId: keyArn })))).toBe('AccessDeniedException');
    expect((await kms.send(new DescribeKeyCommand({ KeyId: keyArn }))).KeyMetadata?.KeyState).toBe('Enabled');
  });

  it("another account can read a key's rotation status by the key's ARN, but cannot turn rotation on or off", async () => {
    const stranger = client(REGION, '999999999999');
    const status = (KeyId: string) => stranger.send(new GetKeyRotationStatusCommand({ KeyId }));
    expect(await status(keyArn)).toMatchObject({ KeyRotationEnabled: true });
    expect(await nameOf(status(keyArn.replace(/.*\//, '')))).toBe('NotFoundException');
    for (const command of [
      new EnableKeyRotationCommand({ KeyId: keyArn }),
      new DisableKeyRotationCommand({ KeyId: keyArn }),
    ]) {
      expect(await nameOf(stranger.send(command))).toBe('AccessDeniedException');
    }
  });

  it('EnableKeyRotation resets the rotation period to 365 days if the request does not name a period', async () => {
    const KeyId = keyArn;
    const enable = (RotationPeriodInDays?: number) =>
      kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays }));
    const period = async () => (await kms.send(new GetKeyRotationStatusCommand({ KeyId }))).RotationPeriodInDays;
    expect(await period()).toBe(365);
    for (const days of [90, 2560]) {
      await enable(days);
      expect(await period()).toBe(days);
      for (const outside of [89, 2561]) expect(await nameOf(enable(outside))).toBe('ValidationException');
      expect(await period()).toBe(days);
      await enable();
      expect(await period()).toBe(365);
    }
  });

  it('CreateKey refuses a request that has both KeySpec and its old name CustomerMasterKeySpec', async () => {
    const kind = { KeySpec: 'SYMMETRIC_DEFAULT', CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT' } as const;
    expect(await nameOf(kms.send(new CreateKeyCommand(kind)))).toBe('ValidationException');
  });

  it.for([
    ['a number as its KeySpec', '{"KeySpec":5}', 'SerializationException'],
    ['an array as its KeyUsage', '{"KeyUsage":["ENCRYPT_DECRYPT"]}', 'SerializationException'],
    ['the text "false" for MultiRegion', '{"MultiRegion":"false"}', 'SerializationException'],
    ['imported material', '{"Origin":"EXTERNAL"}', 'UnsupportedOperationException'],
  ] as const)('CreateKey refuses %s', async ([, body, name]) => {
    expect(await (await call('TrentService.CreateKey', body)).json()).toMatchObject({ __type: name });
  });

  it.for([
    ['a plaintext above 4 KB', () => encrypt(Buffer.alloc(4097)), 'ValidationException'],
    ['an empty plaintext', () => encrypt(Buffer.alloc(0)), 'ValidationException'],
    [
      'a ciphertext above 6 KB',
      () => new DecryptCommand({ CiphertextBlob: Buffer.alloc(6145) }),
      'ValidationException',
    ],
    [
      'a malformed ciphertext',
      () => new DecryptCommand({ CiphertextBlob: Buffer.alloc(99) }),
      'InvalidCiphertextException',
    ],
    [
      'a data key with neither KeySpec nor NumberOfBytes',
      () => new GenerateDataKeyCommand({ KeyId: keyArn }),
      'ValidationException',
    ],
    [
      'a data key with the KeySpec "constructor"',
      () => new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: 'constructor' as never }),
      'ValidationException',
    ],
    [
      'a data key with both KeySpec and NumberOfBytes',
      () => new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: 'AES_256', NumberOfBytes: 32 }),
      'ValidationException',
    ],
    [
      'a key of another region',
      () => new DescribeKeyCommand({ KeyId: keyArn.replace(REGION, 'us-east-1') }),
      'NotFoundException',
    ],
    ['a malformed ARN', () => new DescribeKeyCommand({ KeyId: 'arn:nothing' }), 'InvalidArnException'],
    ['a multi-Region key', () => new CreateKeyCommand({ MultiRegion: true }), 'UnsupportedOperationException'],
    [
      'an asymmetric key',
      () => new CreateKeyCommand({ KeySpec: 'RSA_2048', KeyUsage: 'ENCRYPT_DECRYPT' }),
      'UnsupportedOperationException',
    ],
    [
      'an alias that already exists',
      () => new CreateAliasCommand({ AliasName: 'alias/test', TargetKeyId: keyArn }),
      'AlreadyExistsException',
    ],
    [
      'a new alias that does not begin with "alias/"',
      () => new CreateAliasCommand({ AliasName: 'test', TargetKeyId: keyArn }),
      'ValidationException',
    ],
    [
      'the deletion of an alias that does not exist',
      () => new DeleteAliasCommand({ AliasName: 'alias/none' }),
      'NotFoundException',
    ],
    [
      'a deletion window of 6 days',
      () => new ScheduleKeyDeletionCommand({ KeyId: keyArn, PendingWindowInDays: 6 }),
      'ValidationException',
    ],
    ['an unsupported action', () => new ListKeysCommand({}), 'UnknownOperationException'],
    [
      'a request with an unsupported member',
      () => new DescribeKeyCommand({ KeyId: keyArn, GrantTokens: ['x'] }),
      'ValidationException',
    ],
    ['a new key with a key policy', () => new CreateKeyCommand({ Policy: '{}' }), 'ValidationException'],
    [
      'a new key with tags',
      () => new CreateKeyCommand({ Tags: [{ TagKey: 'a', TagValue: 'b' }] }),
      'ValidationException',
    ],
    [
      'a description above 8,192 characters',
      () => new CreateKeyCommand({ Description: 'x'.repeat(8193) }),
      'ValidationException',
    ],
    [
      'an alias as the target of an alias',
      () => new CreateAliasCommand({ AliasName: 'alias/b', TargetKeyId: 'alias/test' }),
      'ValidationException',
    ],
    [
      'an unknown encryption algorithm',
      () => new EncryptCommand({ KeyId: keyArn, Plaintext: Buffer.from('x'), EncryptionAlgorithm: 'X' as never }),
      'ValidationException',
    ],
    [
      'an algorithm for asymmetric keys',
      () =>
        new EncryptCommand({ KeyId: keyArn, Plaintext: Buffer.from('x'), EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' }),
      'InvalidKeyUsageException',
    ],
    [
      'an unknown KeySpec',
      () => new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: 'AES_512' as never }),
      'ValidationException',
    ],
    [
      'an encryption context above 8 KiB',
      () =>
        new EncryptCommand({ KeyId: keyArn, Plaintext: Buffer.from('x'), EncryptionContext: { a: 'x'.repeat(8192) } }),
      'ValidationException',
    ],
    [
      'a ListAliases marker that is not an alias name',
      () => new ListAliasesCommand({ Marker: 'garbage' }),
      'InvalidMarkerException',
    ],
    [
      'an alias in the wrong case',
      () => new EncryptCommand({ KeyId: 'alias/Test', Plaintext: Buffer.from('x') }),
      'NotFoundException',
    ],
    ['an empty key ID', () => new DescribeKeyCommand({ KeyId: '' }), 'ValidationException'],
    [
      'a key ID above 2,048 characters',
      () => new DescribeKeyCommand({ KeyId: 'x'.repeat(2049) }),
      'ValidationException',
    ],
    [
      'an asymmetric key in CustomerMasterKeySpec, the old name of KeySpec',
      () => new CreateKeyCommand({ CustomerMasterKeySpec: 'RSA_2048' }),
      'UnsupportedOperationException',
    ],
    [
      'a new key for signatures',
      () => new CreateKeyCommand({ KeyUsage: 'SIGN_VERIFY' }),
      'UnsupportedOperationException',
    ],
    [
      'a key whose material is imported',
      () => new CreateKeyCommand({ Origin: 'EXTERNAL' }),
      'UnsupportedOperationException',
    ],
    [
      'a deletion window of 31 days',
      () => new ScheduleKeyDeletionCommand({ KeyId: keyArn, PendingWindowInDays: 31 }),
      'ValidationException',
    ],
    ['a page size of 0 for ListAliases', () => new ListAliasesCommand({ Limit: 0 }), 'ValidationException'],
    ['a page size of 101 for ListAliases', () => new ListAliasesCommand({ Limit: 101 }), 'ValidationException'],
    [
      'a data key of no bytes',
      () => new GenerateDataKeyCommand({ KeyId: keyArn, NumberOfBytes: 0 }),
      'ValidationException',
    ],
    [
      'a data key of 1,025 bytes',
      () => new GenerateDataKeyCommand({ KeyId: keyArn, NumberOfBytes: 1025 }),
      'ValidationException',
    ],
    [
      'a new alias that begins with "alias/aws/"',
      () => new CreateAliasCommand({ AliasName: 'alias/aws/test', TargetKeyId: keyArn }),
      'NotAuthorizedException',
    ],
    [
      'an update of an alias that does not exist',
      () => new UpdateAliasCommand({ AliasName: 'alias/none', TargetKeyId: keyArn }),
      'NotFoundException',
    ],
    [
      'a key that does not exist as the target of an alias',
      () => new CreateAliasCommand({ AliasName: 'alias/b', TargetKeyId: 'none' }),
      'NotFoundException',
    ],
    ['a request without a required member', () => new DescribeKeyCommand({} as never), 'ValidationException'],
  ] as const)('the emulator refuses %s', async ([, command, name]) => {
    expect(await nameOf(kms.send(command() as never))).toBe(name);
  });

  it.for([
    ['DisableKey', DisableKeyCommand],
    ['EnableKey', EnableKeyCommand],
    ['ScheduleKeyDeletion', ScheduleKeyDeletionCommand],
    ['CancelKeyDeletion', CancelKeyDeletionCommand],
    ['RotateKeyOnDemand', RotateKeyOnDemandCommand],
    ['EnableKeyRotation', EnableKeyRotationCommand],
    ['DisableKeyRotation', DisableKeyRotationCommand],
    ['GetKeyRotationStatus', GetKeyRotationStatusCommand],
    ['ListAliases', ListAliasesCommand],
  ] as const)('%s refuses both the name and the ARN of an alias', async ([, command]) => {
    const Command = command as typeof DisableKeyCommand;
    expect(await nameOf(kms.send(new Command({ KeyId: 'alias/test' })))).toBe('NotFoundException');
    const KeyId = keyArn.replace(/key\/.*/, 'alias/test');
    expect(await nameOf(kms.send(new Command({ KeyId })))).toBe('InvalidArnException');
  });

  it('the emulator accepts values of the maximum size', async () => {
    const context = { a: 'x'.repeat(8192 - '{"a":""}'.length) };
    const command = new EncryptCommand({ KeyId: keyArn, Plaintext: Buffer.alloc(4096), EncryptionContext: context });
    expect(await nameOf(kms.send(command))).toBe('no error');
    expect(await nameOf(kms.send(new DecryptCommand({ CiphertextBlob: Buffer.alloc(6144) })))).toBe(
      'InvalidCiphertextException',
    );
    expect(await nameOf(kms.send(new DescribeKeyCommand({ KeyId: 'x'.repeat(2048) })))).toBe('NotFoundException');
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: 'x'.repeat(8192) }));
    expect(KeyMetadata?.Description).toHaveLength(8192);
    expect(await nameOf(kms.send(new ListAliasesCommand({ Limit: 100 })))).toBe('no error');
  });

  it('Encrypt and Decrypt accept and return SYMMETRIC_DEFAULT, the algorithm of symmetric keys', async () => {
    const EncryptionAlgorithm = 'SYMMETRIC_DEFAULT';
    const sealed = await kms.send(
      new EncryptCommand({ KeyId: keyArn, Plaintext: Buffer.from('x'), EncryptionAlgorithm }),
    );
    const { CiphertextBlob } = sealed;
    const opened = await kms.send(new DecryptCommand({ CiphertextBlob, EncryptionAlgorithm }));
    for (const answer of [sealed, opened]) expect(answer).toMatchObject({ KeyId: keyArn, EncryptionAlgorithm });
    const asymmetric = { CiphertextBlob, EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' } as const;
    expect(await nameOf(kms.send(new DecryptCommand(asymmetric)))).toBe('InvalidKeyUsageException');
  });

  it('GenerateDataKey returns a key of the requested length, and a ciphertext that decrypts to the same key', async () => {
    for (const [length, spec] of [
      [32, { KeySpec: 'AES_256' }],
      [16, { KeySpec: 'AES_128' }],
      [1, { NumberOfBytes: 1 }],
      [1024, { NumberOfBytes: 1024 }],
    ] as const) {
      const { Plaintext, CiphertextBlob } = await kms.send(new GenerateDataKeyCommand({ KeyId: keyArn, ...spec }));
      expect(Plaintext).toHaveLength(length);
      expect((await kms.send(new DecryptCommand({ CiphertextBlob }))).Plaintext).toEqual(Plaintext);
    }
  });

  it('DescribeKey shows a key as KMS does, with the deletion date once a deletion is scheduled', async () => {
    const nowSeconds = Math.floor(Date.now() / 1000);
    vi.useFakeTimers({ toFake: ['Date'], now: nowSeconds * 1000 + 999 });
    const { KeyMetadata: made } = await kms.send(new CreateKeyCommand({ Description: 'orders' }));
    const scheduled = await kms.send(new ScheduleKeyDeletionCommand({ KeyId: made?.Arn, PendingWindowInDays: 7 }));
    const { KeyMetadata: pending } = await kms.send(new DescribeKeyCommand({ KeyId: made?.KeyId }));
    vi.useRealTimers();
    expect(made).toEqual({
      AWSAccountId: '111122223333',
      KeyId: expect.stringMatching(/^[\da-f-]{36}$/),
      Arn: `arn:aws:kms:us-west-2:111122223333:key/${made?.KeyId}`,
      CreationDate: new Date(nowSeconds * 1000),
      Enabled: true,
      Description: 'orders',
      KeyUsage: 'ENCRYPT_DECRYPT',
      KeyState: 'Enabled',
      Origin: 'AWS_KMS',
      KeyManager: 'CUSTOMER',
      CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
      KeySpec: 'SYMMETRIC_DEFAULT',
      EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
      MultiRegion: false,
    });
    const DeletionDate = new Date((nowSeconds + 7 * 86_400) * 1000);
    expect(pending).toEqual({ ...made, Enabled: false, KeyState: 'PendingDeletion', DeletionDate });
    const { $metadata: _, ...answer } = scheduled;
    expect(answer).toEqual({ KeyId: made?.Arn, DeletionDate, KeyState: 'PendingDeletion', PendingWindowInDays: 7 });
  });

  it('a key whose deletion is pending can be neither changed nor given an alias', async () => {
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyArn, PendingWindowInDays: 30 }));
    const { KeyMetadata: other } = await kms.send(new CreateKeyCommand({}));
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/other', TargetKeyId: other?.KeyId }));
    for (const command of [
      new EnableKeyCommand({ KeyId: keyArn }),
      new DisableKeyCommand({ KeyId: keyArn }),
      new ScheduleKeyDeletionCommand({ KeyId: keyArn }),
      new EnableKeyRotationCommand({ KeyId: keyArn }),
      new DisableKeyRotationCommand({ KeyId: keyArn }),
      new RotateKeyOnDemandCommand({ KeyId: keyArn }),
      new CreateAliasCommand({ AliasName: 'alias/new', TargetKeyId: keyArn }),
      new UpdateAliasCommand({ AliasName: 'alias/other', TargetKeyId: keyArn }),
    ]) {
      expect(await nameOf(kms.send(command as EnableKeyCommand))).toBe('KMSInvalidStateException');
    }
  });

  it('a disabled key cannot be rotated, and its automatic rotation cannot be changed', async () => {
    await kms.send(new DisableKeyCommand({ KeyId: keyArn }));
    for (const command of [
      new EnableKeyRotationCommand({ KeyId: keyArn }),
      new DisableKeyRotationCommand({ KeyId: keyArn }),
      new RotateKeyOnDemandCommand({ KeyId: keyArn }),
    ]) {
      expect(await nameOf(kms.send(command))).toBe('DisabledException');
    }
  });

  it('ListAliases lists only the aliases of the key in the request, and 50 aliases by default', async () => {
    const KeyId = (await kms.send(new CreateKeyCommand({}))).KeyMetadata?.KeyId;
    for (let n = 10; n < 60; n += 1)
      await kms.send(new CreateAliasCommand({ AliasName: `alias/n${n}`, TargetKeyId: keyArn }));
    await kms.send(new CreateAliasCommand({ AliasName: 'alias/other', TargetKeyId: KeyId }));
    const others = await kms.send(new ListAliasesCommand({ KeyId }));
    const AliasArn = 'arn:aws:kms:us-west-2:111122223333:alias/other';
    expect(others.Aliases).toEqual([{ AliasName: 'alias/other', AliasArn, TargetKeyId: KeyId }]);
    expect(others.Truncated).toBe(false);
    expect(others.NextMarker).toBeUndefined();
    const first = await kms.send(new ListAliasesCommand({}));
    expect(first).toMatchObject({ Truncated: true, NextMarker: 'alias/n59' });
    expect(first.Aliases).toHaveLength(50);
  });

  it('a key can be rotated on demand at most 25 times', async () => {
    const outcomes: string[] = [];
    for (let i = 0; i < 26; i += 1)
      outcomes.push(await nameOf(kms.send(new RotateKeyOnDemandCommand({ KeyId: keyArn }))));
    expect(outcomes.indexOf('LimitExceededException')).toBe(25);
    await expect(kms.send(new RotateKeyOnDemandCommand({ KeyId: keyArn }))).rejects.toThrow(
      /^A key is rotated on demand at most 25 times$/,
    );
  });

  it('a key is not rotated while its deletion is pending, but is rotated again after the deletion is cancelled', async () => {
    const KeyId = keyArn;
    const isRotated = async (): Promise<unknown> =>
      (await kms.send(new GetKeyRotationStatusCommand({ KeyId }))).KeyRotationEnabled;
    await kms.send(new EnableKeyRotationCommand({ KeyId }));
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId }));
    expect(await isRotated()).toBe(false);
    await kms.send(new CancelKeyDeletionCommand({ KeyId }));
    expect(await isRotated()).toBe(true);
  });

  it('a key can have an empty description', async () => {
    const { KeyMetadata } = await kms.send(new CreateKeyCommand({ Description: '' }));
    expect(KeyMetadata?.Description).toBe('');
    const { KeyMetadata: ensured } = await kms.send(new DescribeKeyCommand({ KeyId: keyArn }));
    expect(ensured?.Description).toBe('made by keyfold');
  });

  it('a key no longer exists after its deletion date', async () => {
    const { CiphertextBlob } = await kms.send(encrypt(Buffer.from('x')));
    const { DeletionDate } = await kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyArn, PendingWindowInDays: 7 }));
    vi.useFakeTimers({ toFake: ['Date'], now: (DeletionDate?.getTime() ?? 0) - 1 });
    const decrypt = new DecryptCommand({ CiphertextBlob });
    expect(await nameOf(kms.send(decrypt))).toBe('KMSInvalidStateException');
    vi.setSystemTime(DeletionDate ?? 0);
    expect(await nameOf(kms.send(decrypt))).toBe('AccessDeniedException');
    expect(await nameOf(kms.send(new CancelKeyDeletionCommand({ KeyId: keyArn })))).toBe('NotFoundException');
    expect(emulator.describe()).toMatchObject([{ region: REGION, keys: [] }]);
    vi.useRealTimers();
  });

  it('the aliases of a key are deleted together with the key', async () => {
    await kms.send(new ScheduleKeyDeletionCommand({ KeyId: keyArn, PendingWindowInDays: 7 }));
    const other = (await kms.send(new CreateKeyCommand({}))).KeyMetadata?.Arn;
    const alias = { AliasName: 'alias/test', TargetKeyId: other };
    expect(await nameOf(kms.send(new CreateAliasCommand(alias)))).toBe('AlreadyExistsException');
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 8 * 86_400_000 });
    expect((await kms.send(new ListAliasesCommand({}))).Aliases).toEqual([]);
    expect(await nameOf(kms.send(new UpdateAliasCommand(alias)))).toBe('NotFoundException');
    expect(await nameOf(kms.send(new DeleteAliasCommand(alias)))).toBe('NotFoundException');
    expect(await nameOf(kms.send(new CreateAliasCommand(alias)))).toBe('no error');
    expect((await kms.send(encrypt(Buffer.from('x'), 'alias/test'))).KeyId).toBe(other);
    vi.useRealTimers();
  });

  it('ListAliases returns its results in pages, and a deleted alias no longer points to its key', async () => {
    for (const n of [1, 2]) await kms.send(new CreateAliasCommand({ AliasName: `alias/n${n}`, TargetKeyId: keyArn }));
    const first = await kms.send(new ListAliasesCommand({ Limit: 2 }));
    expect(first.Aliases?.map(({ AliasName }) => AliasName)).toEqual(['alias/n1', 'alias/n2']);
    const rest = await kms.send(new ListAliasesCommand({ Limit: 2, Marker: first.NextMarker }));
    expect(rest).toMatchObject({ Truncated: false, Aliases: [{ AliasName: 'alias/test' }] });
    await kms.send(new DeleteAliasCommand({ AliasName: 'alias/n1' }));
    expect(await nameOf(kms.send(encrypt(Buffer.from('x'), 'alias/n1')))).toBe('NotFoundException');
  });

  it('the data file keeps keys across a restart, and only the owner of the file can read it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
    const dataFile = join(folder, 'kms.json');
    const first = await startKmsEmulator({ dataFile });
    const made = await first.ensureKey(REGION, 'alias/kept');
    const { CiphertextBlob } = await client(REGION, 'local', first.endpoint).send(
      encrypt(Buffer.from('x'), 'alias/kept'),
    );
    await first.close();
    expect((await stat(dataFile)).mode & 0o777).toBe(0o600);
    const second = await startKmsEmulator({ dataFile });
    expect(await second.ensureKey(REGION, 'alias/kept')).toEqual(made);
    const { Plaintext = [] } = await client(REGION, 'local', second.endpoint).send(
      new DecryptCommand({ CiphertextBlob }),
    );
    expect(Buffer.from(Plaintext).toString()).toBe('x');
    await second.close();
    await rm(folder, { recursive: true });
  });
});

describe('KMS emulator: dry run', () => {
  const dry = { KeyId: '', DryRun: true };

  it('a valid dry run fails with DryRunOperationException', async () => {
    const { CiphertextBlob } = await kms.send(encrypt(Buffer.from('x')));
    const commands = [
      new EncryptCommand({ ...dry, KeyId: keyArn, Plaintext: Buffer.from('x') }),
      new GenerateDataKeyCommand({ ...dry, KeyId: keyArn, KeySpec: 'AES_256' }),
      new DecryptCommand({ ...dry, KeyId: keyArn, CiphertextBlob }),
    ];
    for (const command of commands) {
      expect(await nameOf(kms.send(command as never))).toBe('DryRunOperationException');
    }
  });

  it('a dry run with a disabled key fails with DisabledException', async () => {
    await kms.send(new DisableKeyCommand({ KeyId: keyArn }));
    const command = new EncryptCommand({ ...dry, KeyId: keyArn, Plaintext: Buffer.from('x') });
    expect(await nameOf(kms.send(command))).toBe('DisabledException');
  });

  it('a dry run of Decrypt with another encryption context fails with InvalidCiphertextException', async () => {
    const { CiphertextBlob } = await kms.send(encrypt(Buffer.from('x')));
    const command = new DecryptCommand({ DryRun: true, CiphertextBlob, EncryptionContext: { other: 'x' } });
    expect(await nameOf(kms.send(command))).toBe('InvalidCiphertextException');
  });
});

function call(target: string, body: string | Buffer): Promise<Response> {
  const authorization = `AWS4-HMAC-SHA256 Credential=local/20260101/${REGION}/kms/aws4_request`;
  return control('/', { method: 'POST', body, headers: { 'x-amz-target': target, authorization } });
}

describe('KMS emulator: JSON protocol', () => {
  it('every response, even an error, has its own request ID', async () => {
    const { $metadata } = await kms.send(new ListAliasesCommand({}));
    const error: unknown = await kms.send(new ListKeysCommand({})).catch((e: unknown) => e);
    const ids = [$metadata.requestId, (error as { $metadata: { requestId?: string } }).$metadata.requestId];
    for (const id of ids) expect(id).toMatch(/^[\da-f-]{36}$/);
    expect(ids[0]).not.toBe(ids[1]);
  });

  it.for([
    ['a plaintext that is not base64', '{"KeyId":"alias/test","Plaintext":"!!!!"}'],
    ['a number as the key ID', '{"KeyId":7,"Plaintext":"eA=="}'],
    ['an array as the encryption context', '{"KeyId":"alias/test","Plaintext":"eA==","EncryptionContext":["a"]}'],
    ['a number in the encryption context', '{"KeyId":"alias/test","Plaintext":"eA==","EncryptionContext":{"a":5}}'],
    ['a number as the encryption context', '{"KeyId":"alias/test","Plaintext":"eA==","EncryptionContext":5}'],
    ['a string as DryRun', '{"KeyId":"alias/test","Plaintext":"eA==","DryRun":"yes"}'],
    ['an array as the body', '[]'],
    ['null as the body', 'null'],
    ['a string as the body', '"KeyId"'],
    ['a body that is not JSON', '{'],
    ['a body that is not UTF-8', Buffer.from('{"KeyId":"alias/é","Plaintext":"eA=="}', 'latin1')],
  ] as const)('Encrypt fails with SerializationException for %s', async ([, body]) => {
    const answer = await call('TrentService.Encrypt', body);
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ __type: 'SerializationException' });
  });

  it.for([
    [
      'an unknown member',
      'TrentService.Encrypt',
      '{"KeyId":"alias/test","Plaintext":"eA==","Colour":"red"}',
      'ValidationException',
    ],
    ['an unknown action', 'TrentService.constructor', '{}', 'UnknownOperationException'],
    [
      'an action that lacks the prefix "TrentService."',
      'Encrypt',
      '{"KeyId":"alias/test","Plaintext":"eA=="}',
      'UnknownOperationException',
    ],
  ])('a request with %s fails with $3', async ([, target, body, name]) => {
    const answer = await call(target ?? '', body ?? '');
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ __type: name });
  });

  it('a member whose value is null counts as absent', async () => {
    const body = '{"KeyId":"alias/test","Plaintext":"eA==","GrantTokens":null}';
    expect((await call('TrentService.Encrypt', body)).status).toBe(200);
  });
});

describe('KMS emulator: data file', () => {
  it.for(['', '{', '[]', '{"keys":5}'])(
    'the emulator does not start if the data file contains %j instead of keys',
    async (content) => {
      const folder = await mkdtemp(join(tmpdir(), 'keyfold-kms-'));
      const dataFile = join(folder, 'kms.json');
      await writeFile(dataFile, content);
      await expect(startKmsEmulator({ dataFile })).rejects.toThrow(`${dataFile} is damaged: it does not hold the keys`);
      await rm(folder, { recursive: true });
    },
  );

  it('after a failed write, the next change is still written to the data file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'keyfold-kms-'));
    const kept = await startKmsEmulator({ dataFile: join(folder, 'sub', 'kms.json') });
    const create = (): Promise<string> => nameOf(client(REGION, 'local', kept.endpoint).send(new CreateKeyCommand({})));
    try {
      const printed = vi.spyOn(console, 'error').mockReturnValue();
      expect(await create()).toBe('KMSInternalException');
      expect(printed.mock.lastCall).toMatchObject([{ code: 'ENOENT' }]);
      printed.mockRestore();
      await mkdir(join(folder, 'sub'));
      expect(await create()).toBe('no error');
    } finally {
      await kept.close();
      await rm(folder, { recursive: true });
    }
  });
});

describe('KMS emulator: faults', () => {
  it.for([
    ['down', { kind: 'down' }, 'ECONNRESET'],
    ['hang', { kind: 'hang' }, 'ETIMEDOUT'],
    ['garbage', { kind: 'garbage' }, 'SyntaxError'],
    ['throttle', { kind: 'throttle', perSecond: 0 }, 'ThrottlingException'],
    ['DisabledException', { kind: 'error', name: 'DisabledException' }, 'DisabledException'],
    ['KMSInternalException', { kind: 'error', name: 'KMSInternalException', status: 500 }, 'KMSInternalException'],
    ['latency', { kind: 'latency', ms: 1 }, 'no error'],
  ] as const)(
    'the fault "%s" affects only the region in which it is set, and ends when it is cleared',
    async ([, fault, outcome]) => {
      const east = await emulator.ensureKey('us-east-1', 'alias/test');
      emulator.setFault(REGION, fault);
      const asked = fault.kind === 'hang' ? client(REGION, 'local', emulator.endpoint, 300) : kms;
      const error: unknown = await asked.send(encrypt(Buffer.from('x'))).catch((e: unknown) => e);
      const { code, name } = error as NodeJS.ErrnoException;
      expect(error instanceof Error ? (code ?? name) : 'no error').toBe(outcome);
      expect((await client('us-east-1').send(encrypt(Buffer.from('x'), east.keyArn))).KeyId).toBe(east.keyArn);
      emulator.clearFaults();
      expect((await kms.send(encrypt(Buffer.from('x')))).KeyId).toBe(keyArn);
    },
  );

  it('the fault "reset" closes the connection in the middle of the response', async () => {
    emulator.setFault(REGION, { kind: 'reset' });
    expect(await nameOf(kms.send(encrypt(Buffer.from('x'))))).not.toBe('no error');
    expect(emulator.calls().at(-1)).toMatchObject({ action: 'Encrypt', outcome: 'reset' });
  });

  it.for([
    { kind: 'down' },
    { kind: 'hang' },
    { kind: 'reset' },
    { kind: 'garbage' },
    { kind: 'latency', ms: 60_000 },
    { kind: 'throttle', perSecond: 0 },
    { kind: 'error', name: 'DisabledException' },
  ] as const)('the fault "$kind" with a list of actions affects only those actions', async (fault) => {
    emulator.setFault(REGION, { ...fault, actions: ['GenerateDataKey'] });
    const impatient = client(REGION, 'local', emulator.endpoint, 300);
    expect((await kms.send(encrypt(Buffer.from('x')))).KeyId).toBe(keyArn);
    const command = new GenerateDataKeyCommand({ KeyId: keyArn, KeySpec: 'AES_256' });
    expect(await nameOf(impatient.send(command))).not.toBe('no error');
  });

  it('a call that hangs ends when the emulator is closed', async () => {
    const other = await startKmsEmulator();
    const { keyArn: KeyId } = await other.ensureKey(REGION, 'alias/test');
    other.setFault(REGION, { kind: 'hang' });
    const asked = new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') });
    const outcome = nameOf(client(REGION, 'local', other.endpoint, 60_000).send(asked));
    await vi.waitFor(() => expect(other.describe()[0]?.calls).toEqual({ Encrypt: 1 }));
    await other.close();
    expect(await outcome).not.toBe('no error');
  });

  it('a delayed call is not executed if its client has disconnected', async () => {
    emulator.setFault(REGION, { kind: 'latency', ms: 400 });
    const impatient = client(REGION, 'local', emulator.endpoint, 200);
    expect(await nameOf(impatient.send(new CreateKeyCommand({})))).toBe('TimeoutError');
    await setTimeout(400);
    emulator.clearFaults();
    const { regions } = (await (await control('/regions')).json()) as { regions: { keys: object[] }[] };
    expect(regions[0]?.keys).toHaveLength(1);
  });

  it('the faults "throttle" and "garbage" cause responses with a fixed status, content type and body', async () => {
    const answers: unknown[] = [];
    for (const fault of [{ kind: 'throttle', perSecond: 0 }, { kind: 'garbage' }] as const) {
      emulator.setFault(REGION, fault);
      const answer = await call('TrentService.ListAliases', '{}');
      answers.push([answer.status, answer.headers.get('content-type'), await answer.text()]);
    }
    const type = 'application/x-amz-json-1.1';
    expect(answers).toEqual([
      [400, type, '{"__type":"ThrottlingException","message":"Rate exceeded"}'],
      [200, type, '<html>not KMS</html>'],
    ]);
  });

  it('the fault "throttle" lets some calls through, and throttles the rest', async () => {
    emulator.setFault(REGION, { kind: 'throttle', perSecond: 2 });
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => nameOf(kms.send(encrypt(Buffer.from('x'))))));
    expect(outcomes.filter((outcome) => outcome === 'no error').length).toBeGreaterThanOrEqual(2);
    expect(outcomes).toContain('ThrottlingException');
  });

  it('the fault "throttle" with a rate of 0.5 calls per second lets one call through every two seconds', async () => {
    vi.useFakeTimers({ toFake: ['performance'] });
    emulator.setFault(REGION, { kind: 'throttle', perSecond: 0.5 });
    const outcomes: string[] = [];
    for (const afterMs of [0, 1000, 1000, 10_000, 0]) {
      vi.advanceTimersByTime(afterMs);
      outcomes.push(await nameOf(kms.send(encrypt(Buffer.from('x')))));
    }
    vi.useRealTimers();
    const [answered, throttled] = ['no error', 'ThrottlingException'];
    expect(outcomes).toEqual([answered, throttled, answered, answered, throttled]);
  });

  it('the fault "throttle" still lets calls through after the clock is set back', async () => {
    emulator.setFault(REGION, { kind: 'throttle', perSecond: 10 });
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - 3_600_000 });
    expect(await nameOf(kms.send(encrypt(Buffer.from('x'))))).toBe('no error');
    vi.useRealTimers();
  });
});

function control(path: string, init?: RequestInit): Promise<Response> {
  return fetch(`${emulator.endpoint}${path}`, init);
}

/** The status and the JSON of the response to a call under the fault `error`. */
async function answerWith(fault: object): Promise<unknown[]> {
  emulator.setFault(REGION, { kind: 'error', name: 'X', ...fault });
  const answer = await call('TrentService.ListAliases', '{}');
  return [answer.status, await answer.json()];
}

describe('KMS emulator: control API', () => {
  it('the control API sets, shows and clears faults, and counts calls', async () => {
    const put = await control(`/regions/${REGION}/fault`, { method: 'PUT', body: '{"kind":"down"}' });
    expect(await put.json()).toEqual({ region: REGION, fault: { kind: 'down' } });
    await nameOf(kms.send(encrypt(Buffer.from('x'))));
    expect(await (await control('/regions')).json()).toEqual({
      regions: [
        { region: REGION, keys: [{ arn: keyArn, state: 'Enabled' }], fault: { kind: 'down' }, calls: { Encrypt: 1 } },
      ],
    });
    const removed = await control(`/regions/${REGION}/fault`, { method: 'DELETE' });
    expect([removed.status, await removed.json()]).toEqual([200, { region: REGION }]);
    expect(await nameOf(kms.send(encrypt(Buffer.from('x'))))).toBe('no error');
    await control(`/regions/${REGION}/fault`, { method: 'PUT', body: '{"kind":"hang"}' });
    const cleared = await control('/faults', { method: 'DELETE' });
    expect([cleared.status, await cleared.json()]).toEqual([200, {}]);
    expect(await nameOf(kms.send(encrypt(Buffer.from('x'))))).toBe('no error');
  });

  it('the control API counts calls even if the action is named "constructor" or "__proto__"', async () => {
    for (const action of ['constructor', 'constructor', '__proto__']) await call(`TrentService.${action}`, '{}');
    const { regions } = (await (await control('/regions')).json()) as { regions: { calls: object }[] };
    expect(regions.map(({ calls }) => Object.entries(calls))).toEqual([
      [
        ['constructor', 2],
        ['__proto__', 1],
      ],
    ]);
  });

  it('the control API refuses a body above 16 KiB', async () => {
    const body = `{"kind":"down"${' '.repeat(16_384)}}`;
    const answer = await control(`/regions/${REGION}/fault`, { method: 'PUT', body });
    expect(answer.status).toBe(413);
    expect(await answer.json()).toEqual({ error: 'The body is larger than 16384 bytes.' });
  });

  it.for([
    ['an empty body', ''],
    ['a body that is not JSON', '{'],
    ['an array', '[]'],
    ['an unknown kind of fault', '{"kind":"flood"}'],
    ['a latency without its duration', '{"kind":"latency"}'],
    ['a member that the kind does not have', '{"kind":"down","ms":5}'],
    ['an unknown action', '{"kind":"down","actions":["Decypt"]}'],
    ['an empty list of actions', '{"kind":"down","actions":[]}'],
  ] as const)('the control API refuses %s', async ([, body]) => {
    const answer = await control(`/regions/${REGION}/fault`, { method: 'PUT', body });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toHaveProperty('error');
  });

  it.for(['us-west-3', 'US-WEST-2', 'constructor'])(
    'the control API refuses a fault for the unknown region %s, and lists the known regions',
    async (region) => {
      for (const method of ['PUT', 'DELETE']) {
        const body = method === 'PUT' ? { body: '{"kind":"down"}' } : {};
        const answer = await control(`/regions/${region}/fault`, { method, ...body });
        expect(answer.status).toBe(404);
        expect(await answer.json()).toEqual({ error: `Region '${region}' has no key. Regions with keys: us-west-2` });
      }
      expect(() => emulator.setFault(region, { kind: 'down' })).toThrow(RangeError);
      const { regions } = (await (await control('/regions')).json()) as { regions: { region: string }[] };
      expect(regions.map((one) => one.region)).toEqual([REGION]);
    },
  );

  it('the control API returns 404 for an unknown path', async () => {
    for (const path of [`/regions/${REGION}/fault/`, '/regions/fault', '/faults/']) {
      for (const method of ['PUT', 'DELETE']) expect((await control(path, { method })).status).toBe(404);
    }
  });

  it('the emulator refuses a request from a web page with another origin', async () => {
    const headers = { origin: 'https://example.com' };
    const answer = await control(`/regions/${REGION}/fault`, { method: 'PUT', body: '{"kind":"down"}', headers });
    expect(answer.status).toBe(403);
    expect(await nameOf(kms.send(encrypt(Buffer.from('x'))))).toBe('no error');
  });

  it('the emulator refuses a KMS request above 64 KiB, and closes the connection', async () => {
    const answer = await call('TrentService.Encrypt', ' '.repeat(65_537));
    expect([answer.status, answer.headers.get('connection')]).toEqual([413, 'close']);
    expect(await answer.json()).toMatchObject({ __type: 'RequestEntityTooLargeException' });
    expect((await call('TrentService.ListAliases', `{}${' '.repeat(65_534)}`)).status).toBe(200);
  });

  it('the emulator lists the calls that it received, and can clear the fault of only one region', async () => {
    const east = await emulator.ensureKey('us-east-1', 'alias/test');
    emulator.setFault(REGION, { kind: 'error', name: 'Slow' });
    emulator.setFault('us-east-1', { kind: 'down' });
    emulator.clearFault('us-east-1');
    expect(() => emulator.clearFault('us-west-3')).toThrow(RangeError);
    await client('us-east-1').send(encrypt(Buffer.from('x'), east.keyArn));
    await nameOf(kms.send(new DescribeKeyCommand({ KeyId: 'alias/test' })));
    await nameOf(kms.send(new ListAliasesCommand({})));
    emulator.clearFaults();
    await nameOf(kms.send(encrypt(Buffer.from('x'), 'none')));
    await nameOf(client('eu-west-1').send(encrypt(Buffer.from('x'), 'none')));
    expect(emulator.calls()).toEqual([
      { region: 'us-east-1', action: 'Encrypt', keyId: east.keyArn, outcome: 'ok' },
      { region: REGION, action: 'DescribeKey', keyId: 'alias/test', outcome: 'Slow' },
      { region: REGION, action: 'ListAliases', keyId: undefined, outcome: 'Slow' },
      { region: REGION, action: 'Encrypt', keyId: 'none', outcome: 'NotFoundException' },
      { region: 'eu-west-1', action: 'Encrypt', keyId: 'none', outcome: 'NotFoundException' },
    ]);
    expect(emulator.describe().map(({ region, calls }) => [region, calls])).toEqual([
      ['eu-west-1', { Encrypt: 1 }],
      ['us-east-1', { Encrypt: 1 }],
      [REGION, { DescribeKey: 1, ListAliases: 1, Encrypt: 1 }],
    ]);
    emulator.resetCalls();
    expect(emulator.calls()).toEqual([]);
  });

  it('the emulator keeps at most the last 100,000 calls', () => {
    const regions = new Regions();
    const noteCalls = (count: number, action: string): void => {
      for (let n = 0; n < count; n += 1) regions.note({ region: REGION, action, keyId: undefined, outcome: 'ok' });
    };
    noteCalls(50_000, 'Encrypt');
    noteCalls(50_000, 'Decrypt');
    expect(regions.countsOf(REGION)).toEqual({ Encrypt: 50_000, Decrypt: 50_000 });
    noteCalls(1, 'Decrypt');
    expect(regions.countsOf(REGION)).toEqual({ Decrypt: 50_001 });
  });

  it('the fault "error" responds with its configured status and message, by default 400 and a fixed message', async () => {
    expect(await answerWith({})).toEqual([400, { __type: 'X', message: 'An injected error' }]);
    expect(await answerWith({ status: 503, message: 'm' })).toEqual([503, { __type: 'X', message: 'm' }]);
    for (const rate of [0, 1]) expect((await answerWith({ rate }))[0]).toBe(rate === 0 ? 200 : 400);
    for (const fault of [{ status: 399 }, { status: 600 }, { status: 400.5 }, { rate: -0.1 }, { rate: 1.1 }]) {
      await expect(answerWith(fault)).rejects.toThrow(RangeError);
    }
    for (const ms of [-1, 600_001, 0.5]) {
      expect(() => emulator.setFault(REGION, { kind: 'latency', ms })).toThrow(RangeError);
    }
    expect(() => emulator.setFault(REGION, { kind: 'throttle', perSecond: -1 })).toThrow(RangeError);
  });

  it('the emulator refuses an unsigned KMS call', async () => {
    const answer = await control('/', {
      method: 'POST',
      body: '{}',
      headers: { 'x-amz-target': 'TrentService.ListAliases' },
    });
    expect(answer.status).toBe(400);
    expect(await answer.json()).toMatchObject({ __type: 'MissingAuthenticationTokenException' });
  });
});
