/**
 * Runs every command for operators on emulators, and compares its calls with the permissions in docs/reference/cli.md.
 * The page must name every call and nothing more. IAM, the key policy and the table's policy together must allow these
 * calls.
 */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { EncryptCommand, KMSClient } from '@aws-sdk/client-kms';
import { encodeDataRowRecord, type EnvelopeKeyRecord } from '../../../src/index.ts';
import { read } from '../../support/documents.ts';
import { noDeadline } from '../../support/fakes.ts';
import { EAST, HealthyService, WEST } from '../../support/healthy-service.ts';
import { LOCAL_CREDENTIALS } from '../../support/local-credentials.ts';
import { isAllowed, KEYS, tableAt, WRITERS, type Principal, type Target } from './account.ts';
import { ACCOUNT } from './template.ts';

let world: HealthyService;
let created: number;
/** A record of the service. */
let record: string;
let folder: string;

beforeAll(async () => {
  // Stop the clock, because two commands race only if they make a key in the same second.
  vi.useFakeTimers({ toFake: ['Date'] });
  world = await HealthyService.start();
  const sealed = await world.sessions().session('tenant-1').encrypt(Buffer.from('x'));
  ({ created } = sealed.key.parent);
  record = encodeDataRowRecord(sealed);
  folder = await mkdtemp(join(tmpdir(), 'keyfold-permissions-'));
  await writeFile(join(folder, 'rows'), record);
  await writeFile(join(folder, 'empty'), '');
  await writeFile(join(folder, 'plain'), '"x"\n');
  await writeFile(join(folder, 'ciphertexts'), `${JSON.stringify(await ciphertext())}\n`);
  // Another service's System Key, which has sealed nothing.
  await world.operator.put({ id: GONE as never, created: 60 as never, encryptedKey: Buffer.alloc(60), revoked: true });
  await world.operator.createTable('Former');
  const former = { id: FORMER as never, created: 60 as never, encryptedKey: Buffer.alloc(60), revoked: false };
  await world.operator.put(former, 'Former');
  const verifying = ['verify', join(folder, 'empty'), '--service', 'gone', '--report', join(folder, 'report')];
  await world.operator.keyfold(verifying, world.settings);
});

/** A ciphertext of KMS's `Encrypt`, in base64. */
async function ciphertext(): Promise<string> {
  const { aliasArn: KeyId } = await world.kms.ensureKey(WEST, OLD_KEY);
  const kms = new KMSClient({ region: WEST, credentials: LOCAL_CREDENTIALS, endpoint: world.kms.endpoint });
  const { CiphertextBlob } = await kms.send(new EncryptCommand({ KeyId, Plaintext: Buffer.from('x') }));
  kms.destroy();
  return Buffer.from(CiphertextBlob ?? []).toString('base64');
}

afterAll(async () => {
  vi.useRealTimers();
  await world.stop();
  await rm(folder, { recursive: true });
});

const [, SECTION = ''] = /^## Permissions$(.*?)^#/ms.exec(read('docs/reference/cli.md')) ?? [];
/** The commands in the tables of the section "Permissions", each with the IAM actions that it needs. */
const DOCUMENTED = Object.entries(
  Object.groupBy(['KMS', 'DynamoDB', 'Service Quotas', 'CloudWatch'].flatMap(rowsOf), ({ command }) => command),
).map(([command, rows = []]) => ({ command, actions: rows.flatMap(({ actions }) => actions).toSorted() }));

/** The rows of the table for one AWS service: each command and its IAM actions. */
function rowsOf(service: string): { command: string; actions: string[] }[] {
  const [, table = ''] = new RegExp(`^\\| command +\\| ${service} +\\|$(.*?)^$`, 'ms').exec(SECTION) ?? [];
  return [...table.matchAll(/^\| `([a-z -]+)` +\|(.*)\|$/gm)].map(([, command = '', cell = '']) => ({
    command,
    actions: [...cell.matchAll(/`(\w+)`/g)].map(([, action]) => `${service.toLowerCase().replace(' ', '')}:${action}`),
  }));
}

const SYSTEM_KEY = '_SK_orders_shop';
const GONE = '_SK_gone_shop';
const QUARANTINE = (): string[] => ['--quarantine', join(folder, 'quarantine')];
const FORMER = '_SK_former_shop';
/** The table that was restored from a backup. */
const RESTORED = 'Restored';
/** The KMS key that encrypted the ciphertexts of `Encrypt`. */
const OLD_KEY = 'alias/old';

/** For each command, the command lines that together make every call of the command. */
const RUNS: Readonly<Record<string, () => readonly string[][]>> = {
  doctor: () => [['doctor']],
  'keys list': () => [['keys', 'list']],
  'keys list --all': () => [['keys', 'list', '--all']],
  'keys list --partition-prefix': () => [['keys', 'list', '--partition-prefix', 'tenant-']],
  'keys show': () => [
    ['keys', 'show', SYSTEM_KEY, 'latest'],
    ['keys', 'show', SYSTEM_KEY, String(created)],
  ],
  'keys rotate': () => [
    ['keys', 'rotate'],
    ['keys', 'rotate', '--partition', 'tenant-1'],
  ],
  'keys rotate --all-partitions': () => [['keys', 'rotate', '--all-partitions']],
  'keys prove': () => [['keys', 'prove', '--yes']],
  'keys prove --against': () => [['keys', 'prove', '--against', RESTORED, '--yes']],
  'keys retire-check': () => [
    ['keys', 'retire-check', GONE, '60', '--service', 'gone', '--report', join(folder, 'report')],
  ],
  'inspect --chain': () => [['inspect', record, '--chain']],
  verify: () => [['verify', join(folder, 'rows')]],
  'verify --report': () => [['verify', join(folder, 'rows'), '--report', join(folder, 'new-report')]],
  reencrypt: () => [
    ['reencrypt', join(folder, 'rows'), '--verb', 'rewrap', '--output', join(folder, 'out'), ...QUARANTINE()],
    // A partition of a service without keys, so that the command creates all of them.
    ['reencrypt', join(folder, 'plain'), '--verb', 'seal', '--partition', 'new', '--service', 'newborn']
      .concat('--output', join(folder, 'sealed'))
      .concat(QUARANTINE()),
  ],
  'reencrypt --from kms': () =>
    [
      // A partition of another service without keys, so that the command creates all of them.
      ['ciphertexts', '--partition', 'new', '--service', 'latest-born', '--output', join(folder, 'opened')],
      // A record that is sealed already, whose key the command loads.
      ['rows', '--partition', 'tenant-1', '--output', join(folder, 'still-sealed')],
    ].map(([file = '', ...options]) =>
      ['reencrypt', join(folder, file), ...options]
        .concat('--verb', 'seal', '--from', 'kms', '--kms-region', WEST)
        .concat(QUARANTINE()),
    ),
  maintain: () => [['maintain'], ['maintain', '--service', 'unborn']],
  'table copy': () => [['table', 'copy', '--from', 'Former', '--yes']],
  'keys revoke': () => [
    ['keys', 'revoke', '_IK_tenant-1_orders_shop', 'latest', '--dry-run'],
    ['keys', 'revoke', '_IK_tenant-1_orders_shop', String(created), '--yes'],
  ],
};

/** Changes the service so that a command makes calls that it rarely needs. */
const PREPARATIONS: Readonly<Record<string, () => unknown>> = {
  doctor: () => {
    // If Service Quotas knows only the default of a quota, the command makes one more call, which requests the default.
    world.quotas.knowsOnlyDefaults = true;
  },
  'keys prove': removeProof,
  'keys prove --against': async () => {
    await world.operator.createTable(RESTORED);
    await world.operator.put(await removeProof(), RESTORED);
  },
  'keys rotate': () => overtake(['keys', 'rotate']),
  maintain: async () => {
    const west = JSON.stringify({ [WEST]: world.keys[WEST] });
    await world.operator.keyfold(['keys', 'rotate'], { KEYFOLD_KMS_KEYS: west });
    overtake(['maintain', '--service', 'unborn']);
  },
};

/** Removes the proof of the System Key's row. Returns the row without it. */
async function removeProof(): Promise<EnvelopeKeyRecord> {
  const row = await world.operator.metastore.load(SYSTEM_KEY as never, created as never, noDeadline());
  const unproven = { ...(row as EnvelopeKeyRecord), proof: undefined };
  await world.operator.put(unproven);
  return unproven;
}

/** Makes another process create a System Key just before the command creates it. */
function overtake(args: readonly string[]): void {
  let isOvertaken = false;
  world.proxy.faultOf = (call) => {
    if (call !== 'Put SK' || isOvertaken) return world.answerOf(call);
    isOvertaken = true;
    return { kind: 'overtaken', by: () => world.operator.keyfold(args, world.settings) };
  };
}

const ITEM_ACTIONS = /^(?:Get|Put|Update|Delete)$/;

/** The IAM actions of the calls since the last reset. */
function called(): string[] {
  const ofTable = world.proxy.calls.map((call) => {
    const [action = ''] = call.split(' ');
    return `dynamodb:${ITEM_ACTIONS.test(action) ? `${action}Item` : action}`;
  });
  const ofKms = world.kms.calls().map(({ action }) => `kms:${action}`);
  return [...new Set([...ofKms, ...ofTable, ...world.quotas.calls])].toSorted();
}

function reset(): void {
  world.proxy.calls = [];
  world.proxy.tables = [];
  world.proxy.ids = [];
  world.kms.resetCalls();
  world.quotas.calls = [];
}

/** The resources of an action, with their policies. If an action has no particular resource, its resource is `*`. */
function targetsOf(action: string): Target[] {
  if (action.startsWith('kms:')) return [KEYS['the key'], KEYS["the other region's key"]];
  if (action.startsWith('dynamodb:')) return [tableAt(WEST, SYSTEM_KEY), tableAt(EAST, SYSTEM_KEY)];
  const isOfQuotas = action === 'servicequotas:GetServiceQuota';
  return [isOfQuotas ? { arn: `arn:aws:servicequotas:${WEST}:${ACCOUNT}:kms/L-6E3AF000` } : { arn: '*' }];
}

/** An operator with the permissions that the tables list for a command. */
function operatorWith(actions: readonly string[]): Principal {
  const policy = { Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: actions, Resource: '*' }] };
  return { arn: WRITERS['an operator who is named'].arn, policies: [policy] };
}

describe('the permissions of the commands in docs/reference/cli.md', () => {
  it('cover exactly the commands that this test runs', () => {
    expect(DOCUMENTED.map(({ command }) => command).toSorted()).toEqual(Object.keys(RUNS).toSorted());
  });

  it.for(DOCUMENTED)('allow exactly the calls that $command makes', async ({ command, actions }) => {
    await PREPARATIONS[command]?.();
    reset();
    for (const args of RUNS[command]?.() ?? []) {
      const { code, stderr } = await world.operator.keyfold(args, world.settings);
      expect({ args, code, stderr }).toMatchObject({ args, code: 0 });
    }
    expect(called()).toEqual(actions);
    const operator = operatorWith(actions);
    for (const action of actions) {
      for (const target of targetsOf(action))
        expect([action, await isAllowed(operator, action, target)]).toEqual([action, true]);
    }
  });

  it('for reencrypt --from kms, include only Decrypt on the key of the old ciphertexts', async () => {
    reset();
    const sealing = ['--verb', 'seal', '--partition', 'tenant-1', '--from', 'kms', '--kms-region', WEST];
    const args = ['reencrypt', join(folder, 'ciphertexts'), ...sealing, '--dry-run', ...QUARANTINE()];
    expect(await world.operator.keyfold(args, world.settings)).toMatchObject({ code: 0 });
    const ofOwnKeys = new Set<string | undefined>(Object.values(world.keys));
    const others = world.kms.calls().filter(({ keyId }) => !ofOwnKeys.has(keyId));
    expect(new Set(others.map(({ action }) => action))).toEqual(new Set(['Decrypt']));
  });

  it('for keys prove --against, include only Scan on the table that the option names', async () => {
    await removeProof();
    reset();
    const args = ['keys', 'prove', '--against', RESTORED, '--yes'];
    expect(await world.operator.keyfold(args, world.settings)).toMatchObject({ code: 0 });
    const there = world.proxy.calls.filter((_, i) => world.proxy.tables[i] === RESTORED);
    expect(new Set(there.map((call) => call.split(' ')[0]))).toEqual(new Set(['Scan']));
  });
});
