/** Replaces the KMS keys of two regions one after the other, as docs/how-to/replace-a-kms-key.md describes. */
import {
  CreateAliasCommand,
  CreateKeyCommand,
  DeleteAliasCommand,
  DescribeKeyCommand,
  DisableKeyCommand,
  KMSClient,
  UpdateAliasCommand,
} from '@aws-sdk/client-kms';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { FollowedPage } from '../../support/followed-page.ts';
import { EAST, HealthyService, WEST } from '../../support/healthy-service.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { ADMINISTRATOR, aliasesOf, keys, stackChangeOf } from './key-replacement.ts';
import { ACCOUNT } from './template.ts';

let world: HealthyService;

beforeAll(async () => {
  world = await HealthyService.start();
});
afterAll(() => world.stop());

/** The stacks with the KMS keys of one region. A deployment changes the aliases, as CloudFormation does. */
class KeyStacks {
  readonly #region: string;
  readonly #kms: KMSClient;
  /** The ARN of each stack's own key. */
  readonly #own: Readonly<Record<string, string>>;
  readonly #parameters: Record<string, Record<string, string>> = { 'keyfold-keys': {} };
  #aliases: ReadonlySet<string> = new Set(['alias/keyfold']);

  constructor(region: string, kms: KMSClient, own: Readonly<Record<string, string>>) {
    this.#region = region;
    this.#kms = kms;
    this.#own = own;
  }

  /** @param command a `deploy` command from docs/how-to/replace-a-kms-key.md */
  async deploy(command: string): Promise<void> {
    const topic = `arn:aws:sns:${this.#region}:${ACCOUNT}:keyfold-keys`;
    const variables = { name: 'keyfold', admin: ADMINISTRATOR, topic, key2: this.#own['keyfold-keys-2'] ?? '' };
    const { stack, parameters } = stackChangeOf(command, variables);
    this.#parameters[stack] = { ...this.#parameters[stack], ...parameters };
    const wanted = new Map<string, string>();
    for (const [name, given] of Object.entries(this.#parameters)) {
      for (const [alias, target] of Object.entries(aliasesOf(keys(given, this.#region)))) {
        wanted.set(alias, target === 'Key' ? (this.#own[name] ?? '') : String(target));
      }
    }
    for (const [AliasName, TargetKeyId] of wanted) {
      const alias = { AliasName, TargetKeyId };
      await this.#kms.send(
        this.#aliases.has(AliasName) ? new UpdateAliasCommand(alias) : new CreateAliasCommand(alias),
      );
    }
    const gone = [...this.#aliases].filter((alias) => !wanted.has(alias));
    for (const AliasName of gone) await this.#kms.send(new DeleteAliasCommand({ AliasName }));
    this.#aliases = new Set(wanted.keys());
  }
}

it('every record opens in each region at each step of docs/how-to/replace-a-kms-key.md', async () => {
  const records: string[] = [];
  /** Seals one more record, and opens all records, each in a cold process. */
  const sealAndOpen = async (): Promise<void> => {
    records.push(await world.sessions().session('tenant-1').encryptToJson(Buffer.from('card')));
    const opened = records.map((record) => world.sessions().session('tenant-1').decryptJson(record));
    expect((await Promise.all(opened)).map(String)).toEqual(records.map(() => 'card'));
  };
  await sealAndOpen();
  for (const region of [WEST, EAST]) {
    const kms = new KMSClient({ region, credentials: LOCAL_CREDENTIALS, endpoint: world.kms.endpoint });
    const keyOf = async (KeyId: string): Promise<string> =>
      (await kms.send(new DescribeKeyCommand({ KeyId }))).KeyMetadata?.Arn ?? '';
    const page = new FollowedPage('docs/how-to/replace-a-kms-key.md', {
      folder: '',
      keyfold: (args) => world.operator.keyfold(args, world.settings),
      values: { '_SK_orders_shop_us-west-2': '_SK_orders_shop' },
    });
    const old = await keyOf('alias/keyfold');
    const fresh = (await kms.send(new CreateKeyCommand({}))).KeyMetadata?.Arn ?? '';
    const stacks = new KeyStacks(region, kms, { 'keyfold-keys': old, 'keyfold-keys-2': fresh });
    for (const beginning of ['name=', 'admin=', 'topic=', 'deploy()']) page.pass(beginning);

    // Steps 2 to 4: make the new key, retire the old key, and move the alias.
    await stacks.deploy(page.pass('deploy --stack-name keyfold-keys-2 '));
    page.pass('aws cloudformation update-termination-protection');
    await sealAndOpen();
    for (const stack of ['keyfold-keys', 'keyfold-keys', 'keyfold-keys-2']) {
      await stacks.deploy(page.pass(`deploy --stack-name ${stack} `));
      await sealAndOpen();
    }
    expect([await keyOf('alias/keyfold'), await keyOf('alias/keyfold-retired-1')]).toEqual([fresh, old]);

    // Step 5: renew the wraps. The CLI does what the function does.
    page.pass('aws lambda invoke');
    expect(await world.operator.keyfold(['maintain'], world.settings)).toMatchObject({ code: 0 });
    const { stdout } = await page.run('keyfold keys show');
    expect([stdout.includes(fresh), stdout.includes(old)]).toEqual([true, false]);

    // Step 6: disable the old key. The deployment that changes the administrators does not move the alias.
    await kms.send(new DisableKeyCommand({ KeyId: old }));
    page.pass('aws cloudformation set-stack-policy');
    await stacks.deploy(page.pass('deploy --stack-name keyfold-keys-2 '));
    await sealAndOpen();
    expect(await keyOf('alias/keyfold')).toBe(fresh);
    expect(page.left()).toEqual([]);
    kms.destroy();
  }
  // Each region's new key alone opens every record, while the other region is down.
  for (const region of [WEST, EAST]) {
    world.kms.setFault(region, { kind: 'down' });
    await sealAndOpen();
    world.kms.clearFaults();
  }
});
