/**
 * Tests that real requests get the responses shown in docs/reference/direct-invocation.md, docs/reference/queue.md,
 * docs/reference/cli.md and docs/how-to/move-from-asherah.md.
 */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { startKmsEmulator, type KmsEmulator } from '../../../emulators/kms/kms-emulator.ts';
import { settingsSchema } from '../../../src/config/settings.ts';
import { directDoor } from '../../../src/doors/direct.ts';
import { createTelemetry } from '../../../src/doors/telemetry.ts';
import { AwsKms, MemoryMetastore, SessionFactory, SystemKeyMaintenance } from '../../../src/index.ts';
import type { RegisteredErasure } from '../../../src/maintenance/erasure-table.ts';
import type {
  MaintenanceReport,
  RegionWrap,
  SystemKeyReport,
} from '../../../src/maintenance/system-key-maintenance.ts';
import { openDirectDoor } from '../../support/direct-door.ts';
import { FakeDependencies } from '../../support/fakes.ts';
import { captureOutput, DOOR_CONFIG, lambdaContext } from '../../support/http-door.ts';
import { FakeQueues, openQueueDoor, OUTPUT, queueRecord } from '../../support/queue-door.ts';

const [direct, queue, cli, asherah] = [
  'reference/direct-invocation',
  'reference/queue',
  'reference/cli',
  'how-to/move-from-asherah',
].map((name) => readFileSync(join(import.meta.dirname, '..', '..', '..', 'docs', `${name}.md`), 'utf8')) as [
  string,
  string,
  string,
  string,
];

/** The first code block in this language. */
function blockOf(text: string, language: string): string {
  const [, block = ''] = new RegExp(`\`\`\`${language}\n(.*?)\n\`\`\``, 's').exec(text) ?? [];
  return block;
}

let emulator: KmsEmulator;

beforeAll(async () => {
  emulator = await startKmsEmulator();
});
afterAll(() => emulator.close());
beforeEach(() => {
  captureOutput();
  emulator.clearFaults();
});

describe('docs/reference/direct-invocation.md', () => {
  it('shows an AWS CLI command that works', async () => {
    const [, payload = ''] = /--payload '(.*?)'/.exec(direct) ?? [];
    expect(JSON.parse((await openDirectDoor()(payload)).payload ?? '')).toHaveProperty('record');
  });

  const rows = [...direct.matchAll(/^\| `(\{"operation".*?\})`\s*\| `(\{.*?\})`/gm)].map(
    ([, event = '', result = '']) => [event, result] as const,
  );

  it('has a table of example events', () => {
    expect(rows.length).toBe(4);
  });

  it.for(rows)('shows the actual response to each example event (%s: %s)', async ([event, result]) => {
    const world = new FakeDependencies();
    const invoke = openDirectDoor({ world });
    const record = await world.process().session('tenant-1').encryptToJson(Buffer.from('hello'));
    const given = event
      .replace('"record":{…}', `"record":${record}`)
      .replace('"document":{…}', '"document":{"card":1}')
      .replace(',…]', ',{}]');
    const { payload, error } = await invoke(given);
    expect(error).toBeUndefined();
    expect(shapeOf(JSON.parse(payload ?? ''))).toEqual(
      shapeOf(JSON.parse(result.replaceAll('{…}', '{}').replace(',…]', ']'))),
    );
  });

  it('shows the actual error that Lambda returns if KMS is down in every region', async () => {
    const keys: Record<string, string> = {};
    for (const region of ['us-west-2', 'us-east-1']) {
      keys[region] = (await emulator.ensureKey(region, 'alias/keyfold')).aliasArn;
      emulator.setFault(region, { kind: 'down' });
    }
    const failover = { maxRounds: 1 };
    const awsKms = new AwsKms({ keys, preferredRegion: 'us-west-2', endpoint: emulator.endpoint, failover });
    const names = { service: 'svc', product: 'prod' };
    const handler = directDoor({
      keyfold: new SessionFactory({ ...names, metastore: new MemoryMetastore(), kms: awsKms }),
      now: Date.now,
      telemetry: createTelemetry('svc'),
      config: DOOR_CONFIG,
    });
    const event = { operation: 'encrypt', partition: 'tenant-1', plaintext: '' };
    const {
      name,
      message,
      stack = '',
    } = await handler(event, lambdaContext()).then(
      () => new Error('it has answered'),
      (error: unknown) => error as Error,
    );
    // Formats an error as Lambda's runtime does.
    expect({ errorType: name, errorMessage: message, trace: stack.split('\n') }).toEqual(
      JSON.parse(blockOf(direct, 'json')),
    );
  });
});

/** Lists the members of a value and of all values inside it. Strings stay as they are. */
function shapeOf(value: unknown): unknown {
  if (Array.isArray(value)) return value.map((item) => Object.keys(item as object));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([name, member]) => [name, Array.isArray(member) ? shapeOf(member) : typeof member]),
  );
}

describe('docs/reference/queue.md', () => {
  it('shows an actual message and its result', async () => {
    const queues = new FakeQueues();
    expect(await openQueueDoor({ queues })([queueRecord('m', blockOf(queue, 'json'))])).toEqual([]);
    const [, result = ''] = /The result is the operation's response, here `(.*?)`/.exec(queue) ?? [];
    const [before, after] = result.split('…');
    const body = queues.in(OUTPUT)[0]?.body ?? '';
    expect(body.startsWith(before ?? '-')).toBe(true);
    expect(body.endsWith(after ?? '-')).toBe(true);
  });
});

/** Lists all members of a type in order. The compiler checks that none is missing. */
function membersOf<T>(names: Readonly<Record<keyof T, true>>): string[] {
  return Object.keys(names).toSorted();
}

describe('docs/reference/cli.md', () => {
  it('has a working example of a maintenance run', async () => {
    const { aliasArn } = await emulator.ensureKey('us-west-2', 'alias/keyfold');
    const { endpoint } = emulator;
    const kms = new AwsKms({ keys: { 'us-west-2': aliasArn }, preferredRegion: 'us-west-2', endpoint });
    const metastore = new MemoryMetastore();
    const names = { service: 'orders', product: 'shop' };
    await new SessionFactory({ ...names, kms, metastore }).session('tenant-1').encrypt(Buffer.from('x'));
    const report = await new SystemKeyMaintenance({ service: 'orders', product: 'shop', kms, metastore }).run();
    const line = "await new SystemKeyMaintenance({ service: 'orders', product: 'shop', kms, metastore }).run();";
    expect(blockOf(cli, 'ts')).toBe(`const report = ${line}`);
    expect(report.systemKeys).toMatchObject([{ id: '_SK_orders_shop', regions: [{ opens: true }] }]);
  });

  it('lists every member of the report of a maintenance run', () => {
    const [, section = ''] = cli.split('\n## Maintenance\n');
    const [, table = ''] = /^\| member of the report .*?\n\|[ -|]*\n(.*?)\n\n/ms.exec(section) ?? [];
    const rows = [...table.matchAll(/^\| `([\w[\].]+)` +\| (.*)/gm)].map(([, member = '', meaning = '']) => {
      return [member, [...meaning.matchAll(/`(\w+)`/g)].map(([, name = '']) => name).toSorted()] as const;
    });
    const report = membersOf<Omit<MaintenanceReport, 'systemKeys' | 'erasuresDue'>>({
      created: true,
      createFault: true,
      erasuresFault: true,
    });
    expect(Object.fromEntries(rows)).toEqual({
      ...Object.fromEntries(report.map((member) => [member, []])),
      'systemKeys[]': membersOf<Omit<SystemKeyReport, 'regions'>>({
        id: true,
        created: true,
        state: true,
        fault: true,
      }),
      'systemKeys[].regions[]': membersOf<RegionWrap>({ region: true, opens: true, renewed: true, fault: true }),
      'erasuresDue[]': membersOf<Omit<RegisteredErasure, 'deletedAt'>>({
        partition: true,
        erase: true,
        at: true,
        due: true,
      }),
    });
  });
});

describe('docs/how-to/move-from-asherah.md', () => {
  it('names only settings that exist', () => {
    const named = new Set([...asherah.matchAll(/KEYFOLD_([A-Z_]+)/g)].map(([, name = '']) => name));
    expect(named.size).toBeGreaterThan(8);
    expect(Object.keys(settingsSchema.entries)).toEqual(expect.arrayContaining([...named]));
  });
});
