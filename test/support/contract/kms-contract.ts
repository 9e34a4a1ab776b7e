import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  DisableKeyRotationCommand,
  EnableKeyCommand,
  EnableKeyRotationCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  GetKeyRotationStatusCommand,
  KMSClient,
  KMSServiceException,
  ListAliasesCommand,
  ScheduleKeyDeletionCommand,
  UpdateAliasCommand,
  type GetKeyRotationStatusCommandOutput,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AwsKms } from '../../../src/index.ts';
import { keyOf, wrappedBy } from '../kms.ts';
import { errorOf, noDeadline } from '../fakes.ts';
import { kmsContract, wrapRenewerContract } from '../../../src/testing/index.ts';
import { startStub, type StubServer } from '../stub-server.ts';
import { runContract } from './bind.ts';

/** A running KMS emulator. */
export interface KmsUnderTest {
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** Features of KMS that an emulator lacks. The contract does not test them. */
export interface Lacks {
  /** The emulator allows the use of a key that is disabled or pending deletion. */
  readonly keyStates?: boolean;
  /** Decrypt succeeds even if the request names a key that did not encrypt the ciphertext. */
  readonly keyIdOnDecrypt?: boolean;
  /** The emulator does not report a key's rotation period. */
  readonly rotationPeriod?: boolean;
}

const REGIONS = ['us-west-2', 'us-east-1', 'eu-west-1'] as const;

/** The keys' or aliases' ARNs by region, as the option `keys` of AwsKms expects them. */
function select(
  keys: Record<string, { key: string; alias: string }>,
  what: 'key' | 'alias',
  ...regions: string[]
): Record<string, string> {
  return Object.fromEntries(regions.map((region) => [region, keys[region]?.[what] ?? '']));
}

/** Tests AwsKms, and the KMS behaviour on which Keyfold relies, over HTTP. */
export function awsKmsContract(name: string, start: () => Promise<KmsUnderTest>, lacks: Lacks = {}): void {
  describe(`the KMS of ${name}`, () => {
    let server: KmsUnderTest;
    let silent: StubServer;
    let refusing: StubServer;
    let aliases = 0;

    beforeAll(async () => {
      const refusal = { status: 400, body: '{"__type":"AccessDeniedException"}' };
      [server, silent, refusing] = await Promise.all([start(), startStub('hang'), startStub(refusal)]);
    });
    afterAll(() => Promise.all([server.stop(), silent.stop(), refusing.stop()]));

    const client = (region: string): KMSClient =>
      new KMSClient({
        region,
        endpoint: server.endpoint,
        maxAttempts: 1,
        credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
      });

    /** Creates a key with its own alias in each region. */
    const makeKeys = async (): Promise<Record<string, { key: string; alias: string }>> => {
      const aliasName = `alias/contract-${(aliases += 1)}`;
      const made = REGIONS.map(async (region) => {
        const key = await makeKey(region);
        await client(region).send(new CreateAliasCommand({ AliasName: aliasName, TargetKeyId: key }));
        return [region, { key, alias: key.replace(/key\/.*/, aliasName) }] as const;
      });
      return Object.fromEntries(await Promise.all(made));
    };

    const makeKey = async (region: string): Promise<string> => {
      const { KeyMetadata } = await client(region).send(new CreateKeyCommand({}));
      return KeyMetadata?.Arn ?? '';
    };

    const kmsOver = (keys: Record<string, string>, preferredRegion: string = REGIONS[0]): AwsKms =>
      new AwsKms({ keys, preferredRegion, endpoint: server.endpoint });

    let aliasArns: Promise<Record<string, string>> | undefined;
    const openKeys = (): Promise<Record<string, string>> =>
      (aliasArns ??= makeKeys().then((keys) => select(keys, 'alias', ...REGIONS)));
    const open = async (): Promise<AwsKms> => kmsOver(await openKeys());
    /** Opens AwsKms with the same keys as `open`, at the given endpoint. */
    const openAt = async (endpoint: string): Promise<AwsKms> =>
      new AwsKms({ keys: await openKeys(), preferredRegion: REGIONS[0], endpoint, failover: { maxRounds: 1 } });
    /** Moves the aliases to new keys. */
    const rotate = async (): Promise<void> => {
      const moved = Object.entries(await openKeys()).map(async ([region, alias]) => {
        const move = { AliasName: alias.replace(/.*:/, ''), TargetKeyId: await makeKey(region) };
        await client(region).send(new UpdateAliasCommand(move));
      });
      await Promise.all(moved);
    };
    const faults = {
      openFailing: () => openAt('http://127.0.0.1:9'),
      openHanging: () => openAt(silent.url),
      openRefused: () => openAt(refusing.url),
      rotate,
    };
    runContract('AwsKms as a KMS', kmsContract(open, faults));
    runContract('AwsKms as a renewer of wraps', wrapRenewerContract(open, faults));

    it('lets AwsKms wrap a key in every region, and unwrap the key in any single region', async () => {
      const keys = await makeKeys();
      const systemKey = Buffer.alloc(32, 5);
      const wrapped = await wrappedBy(kmsOver(select(keys, 'key', ...REGIONS)), systemKey, noDeadline());
      for (const region of REGIONS) {
        const alone = kmsOver(select(keys, 'key', region), region);
        expect(await keyOf(alone.unwrap(wrapped, noDeadline()))).toEqual(systemKey);
      }
    });

    it('lets AwsKms write key ARNs into the wraps, even if AwsKms is configured with aliases', async () => {
      const keys = await makeKeys();
      const wrapped = await wrappedBy(kmsOver(select(keys, 'alias', ...REGIONS)), Buffer.alloc(32, 5), noDeadline());
      const { kmsKeks } = JSON.parse(Buffer.from(wrapped).toString()) as { kmsKeks: { region: string; arn: string }[] };
      expect(Object.fromEntries(kmsKeks.map(({ region, arn }) => [region, arn]))).toEqual(
        select(keys, 'key', ...REGIONS),
      );
    });

    it('lets AwsKms unwrap a key even if the alias that wrapped it now points to another KMS key', async () => {
      const keys = await makeKeys();
      const [region] = REGIONS;
      const kms = kmsOver(select(keys, 'alias', region));
      const wrapped = await wrappedBy(kms, Buffer.alloc(32, 5), noDeadline());
      const AliasName = keys[region]?.alias.replace(/.*:/, '');
      await client(region).send(new UpdateAliasCommand({ AliasName, TargetKeyId: await makeKey(region) }));
      expect(await keyOf(kms.unwrap(wrapped, noDeadline()))).toEqual(Buffer.alloc(32, 5));
    });

    it('lets AwsKms unwrap a key that Asherah wrapped under an alias, even if the alias now points to another KMS key', async () => {
      const keys = await makeKeys();
      const [region] = REGIONS;
      const { key = '', alias = '' } = keys[region] ?? {};
      const kms = kmsOver({ [region]: alias });
      const wrapped = Buffer.from(await wrappedBy(kms, Buffer.alloc(32, 5), noDeadline()));
      const asAsherah = Buffer.from(wrapped.toString().replace(key, alias));
      expect(await keyOf(kms.unwrap(asAsherah, noDeadline()))).toEqual(Buffer.alloc(32, 5));
      const AliasName = alias.replace(/.*:/, '');
      await client(region).send(new UpdateAliasCommand({ AliasName, TargetKeyId: await makeKey(region) }));
      expect(await keyOf(kms.unwrap(asAsherah, noDeadline()))).toEqual(Buffer.alloc(32, 5));
    });

    it('reports rotation as enabled only between EnableKeyRotation and DisableKeyRotation, and reports the rotation period', async () => {
      const [region] = REGIONS;
      const kms = client(region);
      const KeyId = await makeKey(region);
      const status = (): Promise<GetKeyRotationStatusCommandOutput> =>
        kms.send(new GetKeyRotationStatusCommand({ KeyId }));
      expect((await status()).KeyRotationEnabled).toBe(false);
      await kms.send(new EnableKeyRotationCommand({ KeyId, RotationPeriodInDays: 180 }));
      const { KeyRotationEnabled, RotationPeriodInDays } = await status();
      expect([KeyRotationEnabled, RotationPeriodInDays]).toEqual([true, lacks.rotationPeriod ? undefined : 180]);
      await kms.send(new DisableKeyRotationCommand({ KeyId }));
      expect((await status()).KeyRotationEnabled).toBe(false);
    });

    it("returns the key's ARN if a request names an ARN, an ID or an alias", async () => {
      const [region] = REGIONS;
      const { key = '', alias = '' } = (await makeKeys())[region] ?? {};
      const kms = client(region);
      for (const KeyId of [key, alias, alias.replace(/.*:/, ''), key.replace(/.*\//, '')]) {
        const generated = await kms.send(new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' }));
        expect(generated.KeyId).toBe(key);
        expect(generated.Plaintext).toHaveLength(32);
        const encrypted = await kms.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
        const { CiphertextBlob } = encrypted;
        expect(encrypted.KeyId).toBe(key);
        expect((await kms.send(new DecryptCommand({ CiphertextBlob }))).KeyId).toBe(key);
        expect((await kms.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.Arn).toBe(key);
      }
      const { Aliases } = await kms.send(new ListAliasesCommand({ KeyId: key }));
      expect(Aliases).toMatchObject([{ AliasArn: alias, TargetKeyId: key.replace(/.*\//, '') }]);
    });

    it('requires the same encryption context for Decrypt as for Encrypt', async () => {
      const [region] = REGIONS;
      const KeyId = await makeKey(region);
      const kms = client(region);
      const EncryptionContext = { a: '1', b: '2' };
      const sealed = await kms.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x'), EncryptionContext }));
      const { CiphertextBlob } = sealed;
      const swapped = { b: '2', a: '1' };
      const opened = await kms.send(new DecryptCommand({ CiphertextBlob, EncryptionContext: swapped }));
      expect(Buffer.from(opened.Plaintext ?? []).toString()).toBe('x');
      for (const wrong of [undefined, { a: '1' }, { a: '1', b: '3' }]) {
        const command = new DecryptCommand({ CiphertextBlob, ...(wrong && { EncryptionContext: wrong }) });
        await expect(kms.send(command)).rejects.toMatchObject({ name: 'InvalidCiphertextException' });
      }
    });

    it('refuses a ciphertext from another region, and bytes that are not a ciphertext', async () => {
      const KeyId = await makeKey('us-west-2');
      const { CiphertextBlob } = await client('us-west-2').send(
        new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }),
      );
      const abroad = client('us-east-1').send(new DecryptCommand({ CiphertextBlob }));
      expect(await errorOf(abroad)).toBeInstanceOf(KMSServiceException);
      const garbage = new DecryptCommand({ CiphertextBlob: Buffer.alloc(200, 1) });
      expect(await errorOf(client('us-west-2').send(garbage))).toBeInstanceOf(KMSServiceException);
    });

    it('refuses a key that does not exist', async () => {
      const KeyId = (await makeKey('us-west-2')).replace(/[0-9a-f]{12}$/, '000000000000');
      const command = new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' });
      await expect(client('us-west-2').send(command)).rejects.toMatchObject({ name: 'NotFoundException' });
    });

    // Tests of features that the emulator lacks are not registered, so that the results contain no skipped test.
    if (lacks.keyStates !== true) {
      it('refuses a key while it is disabled or about to be deleted, and accepts it again once it is enabled', async () => {
        const KeyId = await makeKey('us-west-2');
        const kms = client('us-west-2');
        const command = new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' });
        await kms.send(new DisableKeyCommand({ KeyId }));
        await expect(kms.send(command)).rejects.toMatchObject({ name: 'DisabledException' });
        await kms.send(new EnableKeyCommand({ KeyId }));
        expect((await kms.send(command)).Plaintext).toHaveLength(32);
        await kms.send(new ScheduleKeyDeletionCommand({ KeyId, PendingWindowInDays: 7 }));
        await expect(kms.send(command)).rejects.toMatchObject({ name: 'KMSInvalidStateException' });
      });
    }

    if (lacks.keyIdOnDecrypt !== true) {
      it('refuses to decrypt with a key other than the one used to encrypt', async () => {
        const [one, other] = [await makeKey('us-west-2'), await makeKey('us-west-2')];
        const kms = client('us-west-2');
        const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: one, Plaintext: Buffer.from('x') }));
        const command = new DecryptCommand({ CiphertextBlob, KeyId: other });
        await expect(kms.send(command)).rejects.toMatchObject({ name: 'IncorrectKeyException' });
      });
    }
  });
}
