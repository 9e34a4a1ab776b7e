/** Compares the policy in docs/how-to/erase-a-partition.md with the calls that `keyfold partitions erase` makes. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { ensureKeys, functionEnvironment } from '../../../local/function-environment.ts';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { AwsKms, SessionFactory } from '../../../src/index.ts';
import { DynamoDbProxy } from '../../support/dynamodb-proxy.ts';
import { DAY_MS } from '../../support/fakes.ts';
import { OperatorFixture } from '../../support/operator.ts';
import { EAST, isAllowed, KEYS, REST, tableAt, WEST, WRITERS, type Principal } from './account.ts';

const page = join(import.meta.dirname, '..', '..', '..', 'docs', 'how-to', 'erase-a-partition.md');
const TABLE_ACTIONS = /^dynamodb:(?:List)/;

let kms: KmsEmulator;
let world: OperatorFixture;
let proxy: DynamoDbProxy;

beforeAll(async () => {
  const behind = await OperatorFixture.start();
  proxy = await DynamoDbProxy.start(behind.endpoint);
  // The proxy responds to these actions, because the emulator of DynamoDB does not support them.
  const answers: Record<string, object> = {
    DescribeContinuousBackups: { ContinuousBackupsDescription: { ContinuousBackupsStatus: 'ENABLED' } },
    ListBackups: { BackupSummaries: [] },
    ListExports: { ExportSummaries: [] },
  };
  proxy.answerOf = (action) => answers[action];
  world = OperatorFixture.at(proxy.endpoint);
  kms = await startKmsEmulator();
  vi.stubEnv('AWS_ENDPOINT_URL_KMS', kms.endpoint);
  await behind.createTable('EncryptionKey');
});
afterAll(() => Promise.all([proxy.stop(), kms.close()]));
afterAll(() => vi.unstubAllEnvs());

async function operator(): Promise<{ principal: Principal; actions: string[] }> {
  const [, json = ''] = /```json\n(\{[^]*?\n\})\n```/.exec(await readFile(page, 'utf8')) ?? [];
  const policy = JSON.parse(json) as { Statement: { Action: string | string[] }[] };
  const actions = policy.Statement.flatMap(({ Action }) => Action);
  return { principal: { arn: WRITERS['an operator who is named'].arn, policies: [policy] }, actions };
}

it(
  'the policy in docs/how-to/erase-a-partition.md allows exactly the calls that keyfold partitions erase makes',
  { timeout: 60_000 },
  async () => {
    const keys = await ensureKeys(kms, [WEST, EAST]);
    const settings = functionEnvironment({ kms: kms.endpoint, dynamoDb: proxy.endpoint, keys });
    const service = new SessionFactory({
      service: 'orders',
      product: 'shop',
      metastore: world.metastore,
      kms: new AwsKms({ keys, preferredRegion: WEST, endpoint: kms.endpoint }),
    });
    await service.session('tenant-1').encrypt(Buffer.from('payload'));
    kms.resetCalls();
    proxy.calls = [];
    proxy.ids = [];
    const erase = async (...options: string[]): Promise<void> => {
      const names = { KEYFOLD_SERVICE: 'orders', KEYFOLD_PRODUCT: 'shop' };
      const args = ['partitions', 'erase', 'tenant-1', '--confirm', 'tenant-1', '--reason', 'x', ...options];
      const { code, stderr } = await world.keyfold(args, { ...settings, ...names });
      expect({ code, stderr }).toEqual({ code: 0, stderr: expect.any(String) as string });
    };
    await erase('--wait', '24h');
    await erase('--cancel');
    await erase('--wait', '24h');
    world.clock.advance(DAY_MS + 2000);
    await erase('--finish');
    await erase('--status');

    const { principal, actions } = await operator();
    const called = new Set<string>();
    for (const [i, call] of proxy.calls.entries()) {
      const [name = ''] = call.split(' ');
      const action = `dynamodb:${/^(?:Get|Put|Update|Delete)$/.test(name) ? `${name}Item` : name}`;
      const target = TABLE_ACTIONS.test(action) ? REST['what has no ARN'] : tableAt(WEST, proxy.ids[i] || undefined);
      expect([action, proxy.ids[i], await isAllowed(principal, action, target)]).toEqual([action, proxy.ids[i], true]);
      called.add(action);
    }
    for (const { action } of kms.calls()) {
      expect([action, await isAllowed(principal, `kms:${action}`, KEYS['the key'])]).toEqual([action, true]);
      called.add(`kms:${action}`);
    }
    expect([...called].toSorted()).toEqual([...new Set(actions)].toSorted());
    for (const id of ['_SK_orders_shop', '_IK_tenant-1_billing_shop', '_EP_billing_shop']) {
      for (const write of ['PutItem', 'UpdateItem', 'DeleteItem']) {
        expect([id, await isAllowed(principal, `dynamodb:${write}`, tableAt(WEST, id))]).toEqual([id, false]);
      }
    }
  },
);
