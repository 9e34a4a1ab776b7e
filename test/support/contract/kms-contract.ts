import {
  CreateAliasCommand,
  CreateKeyCommand,
  DecryptCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  EnableKeyCommand,
  EncryptCommand,
  GenerateDataKeyCommand,
  KMSClient,
  KMSServiceException,
  ListAliasesCommand,
  ScheduleKeyDeletionCommand,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { AwsKms } from '../../../src/index.ts';
import { errorOf, noDeadline } from '../fakes.ts';

/** Something that speaks KMS's protocol. */
export interface KmsUnderTest {
  readonly endpoint: string;
  stop(): Promise<void>;
}

/** What an emulator does not do as KMS does, and so is not asked. */
export interface Lacks {
  /** A key that is disabled, or to be deleted, goes on working. */
  readonly keyStates?: boolean;
  /** A key named on Decrypt is not compared to the one that encrypted. */
  readonly keyIdOnDecrypt?: boolean;
}

const REGIONS = ['us-west-2', 'us-east-1', 'eu-west-1'] as const;

/** The keys of some regions, as Keyfold is configured with them. */
function select(
  keys: Record<string, { key: string; alias: string }>,
  what: 'key' | 'alias',
  ...regions: string[]
): Record<string, string> {
  return Object.fromEntries(regions.map((region) => [region, keys[region]?.[what] ?? '']));
}

/** What Keyfold relies on of KMS, and Keyfold on it, over the wire. */
export function kmsContract(name: string, start: () => Promise<KmsUnderTest>, lacks: Lacks = {}): void {
  describe(`KMS as ${name} speaks it`, () => {
    let server: KmsUnderTest;
    let aliases = 0;

    beforeAll(async () => {
      server = await start();
    });
    afterAll(() => server.stop());

    const client = (region: string): KMSClient =>
      new KMSClient({
        region,
        endpoint: server.endpoint,
        maxAttempts: 1,
        credentials: { accessKeyId: 'local', secretAccessKey: 'local' },
      });

    /** A key behind an alias of its own in each region. */
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

    it('wraps in every region, and any one of them unwraps alone', async () => {
      const keys = await makeKeys();
      const systemKey = Buffer.alloc(32, 5);
      const wrapped = await kmsOver(select(keys, 'key', ...REGIONS)).wrap(systemKey, noDeadline());
      for (const region of REGIONS) {
        const unwrapped = await kmsOver(select(keys, 'key', region), region).unwrap(wrapped, noDeadline());
        expect(unwrapped).toEqual({ key: systemKey });
      }
    });

    it('is told by its alias, and the wrap names the key behind it', async () => {
      const keys = await makeKeys();
      const wrapped = await kmsOver(select(keys, 'alias', ...REGIONS)).wrap(Buffer.alloc(32, 5), noDeadline());
      const { kmsKeks } = JSON.parse(Buffer.from(wrapped).toString()) as { kmsKeks: { region: string; arn: string }[] };
      expect(Object.fromEntries(kmsKeks.map(({ region, arn }) => [region, arn]))).toEqual(
        select(keys, 'key', ...REGIONS),
      );
    });

    it('opens what it wrapped before its alias was pointed to a new key', async () => {
      const keys = await makeKeys();
      const [region] = REGIONS;
      const kms = kmsOver(select(keys, 'alias', region));
      const wrapped = await kms.wrap(Buffer.alloc(32, 5), noDeadline());
      const AliasName = keys[region]?.alias.replace(/.*:/, '');
      await client(region).send(new UpdateAliasCommand({ AliasName, TargetKeyId: await makeKey(region) }));
      expect(await kms.unwrap(wrapped, noDeadline())).toEqual({ key: Buffer.alloc(32, 5) });
    });

    it('opens what Asherah wrapped, with an alias as the ARN, even after the alias has moved', async () => {
      const keys = await makeKeys();
      const [region] = REGIONS;
      const { key = '', alias = '' } = keys[region] ?? {};
      const kms = kmsOver({ [region]: alias });
      const wrapped = Buffer.from(await kms.wrap(Buffer.alloc(32, 5), noDeadline()));
      const asAsherah = Buffer.from(wrapped.toString().replace(key, alias));
      expect(await kms.unwrap(asAsherah, noDeadline())).toEqual({ key: Buffer.alloc(32, 5) });
      const AliasName = alias.replace(/.*:/, '');
      await client(region).send(new UpdateAliasCommand({ AliasName, TargetKeyId: await makeKey(region) }));
      expect(await kms.unwrap(asAsherah, noDeadline())).toEqual({ key: Buffer.alloc(32, 5) });
    });

    it('answers with key ARNs, whatever the key was named by', async () => {
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

    it('wants the encryption context that was given', async () => {
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

    it('knows no ciphertext of another region, nor garbage', async () => {
      const KeyId = await makeKey('us-west-2');
      const { CiphertextBlob } = await client('us-west-2').send(
        new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }),
      );
      const abroad = client('us-east-1').send(new DecryptCommand({ CiphertextBlob }));
      expect(await errorOf(abroad)).toBeInstanceOf(KMSServiceException);
      const garbage = new DecryptCommand({ CiphertextBlob: Buffer.alloc(200, 1) });
      expect(await errorOf(client('us-west-2').send(garbage))).toBeInstanceOf(KMSServiceException);
    });

    it('refuses a key that is not there', async () => {
      const KeyId = (await makeKey('us-west-2')).replace(/[0-9a-f]{12}$/, '000000000000');
      const command = new GenerateDataKeyCommand({ KeyId, KeySpec: 'AES_256' });
      await expect(client('us-west-2').send(command)).rejects.toMatchObject({ name: 'NotFoundException' });
    });

    // What an emulator lacks is not a test that it skips.
    if (lacks.keyStates !== true) {
      it('refuses a disabled key until it is enabled, and one that is to be deleted', async () => {
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
      it('refuses to decrypt with a key that did not encrypt', async () => {
        const [one, other] = [await makeKey('us-west-2'), await makeKey('us-west-2')];
        const kms = client('us-west-2');
        const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId: one, Plaintext: Buffer.from('x') }));
        const command = new DecryptCommand({ CiphertextBlob, KeyId: other });
        await expect(kms.send(command)).rejects.toMatchObject({ name: 'IncorrectKeyException' });
      });
    }
  });
}
