/** Tests what the commands do with the files and names that an operator can get wrong. */
import { link, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { encodeDataRowRecord } from '../../../src/index.ts';
import { HealthyService } from '../../support/healthy-service.ts';
import { killedSource } from '../../support/killed-source.ts';
import type { CliRun } from '../../support/operator.ts';

let folder: string;
let world: HealthyService;
let rows: string;

const at = (name: string): string => join(folder, name);

beforeAll(async () => {
  world = await HealthyService.start();
  rows = `${encodeDataRowRecord(await world.sessions().session('tenant-1').encrypt(Buffer.from('x')))}\nkf1.AAAA\n`;
});
afterAll(() => world.stop());
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'keyfold-files-'));
  await writeFile(at('rows'), rows);
});
afterEach(() => rm(folder, { recursive: true }));

function keyfold(args: readonly string[], environment: Record<string, string | undefined> = {}): Promise<CliRun> {
  return world.operator.keyfold(args, { ...world.settings, ...environment });
}

/** Runs `keyfold reencrypt` on the file `rows`. */
function reencrypt(options: Readonly<Record<string, string>>, verb = 'rewrap'): Promise<CliRun> {
  const all = { '--verb': verb, '--quarantine': at('quarantine'), '--output': at('output'), ...options };
  return keyfold(['reencrypt', at('rows'), ...Object.entries(all).flat()]);
}

describe('two paths to the same file', () => {
  it.for([
    ['--quarantine', 'rows', 'The source and --quarantine'],
    ['--report', 'rows', 'The source and --report'],
    ['--audit-file', 'rows', 'The source and --audit-file'],
    ['--checkpoint', 'rows', 'The source and --checkpoint'],
    ['--report', 'output', '--output and --report'],
    ['--quarantine', 'output', '--output and --quarantine'],
    ['--report', 'quarantine', '--quarantine and --report'],
    ['--checkpoint', 'quarantine', '--quarantine and --checkpoint'],
  ] as const)('are refused by reencrypt before it reads or writes a file ($2)', async ([option, name, both]) => {
    const { code, stderr } = await reencrypt({ [option]: at(name) });
    expect({ code, stderr }).toEqual({ code: 2, stderr: `keyfold: ${both} are the same file, ${at(name)}.\n` });
    expect(await readFile(at('rows'), 'utf8')).toBe(rows);
    expect(await readdir(folder)).toEqual(['rows']);
  });

  it('are recognised through symbolic links, hard links and other spellings', async () => {
    await symlink(folder, at('folder'));
    await link(at('rows'), at('hard'));
    await symlink(at('rows'), at('soft'));
    for (const name of ['./rows', 'folder/rows', 'hard', 'soft']) {
      const { code, stderr } = await reencrypt({ '--report': `${folder}/${name}` });
      expect({ name, code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining('same file') as string });
    }
    expect((await reencrypt({ '--report': `${folder}/folder/output` })).code).toBe(2);
  });

  it('are accepted if the file is a device', async () => {
    const { code } = await reencrypt({ '--quarantine': '/dev/null', '--report': '/dev/null' });
    expect(code).toBe(1);
  });

  it('are refused by verify', async () => {
    expect(await keyfold(['verify', at('rows'), '--report', at('rows')])).toMatchObject({ code: 2 });
    expect(await readFile(at('rows'), 'utf8')).toBe(rows);
  });
});

describe('a file that cannot be read or written', () => {
  it('is refused before any file is written if its name is empty, or if --output names standard output', async () => {
    for (const option of ['--quarantine', '--output', '--report', '--checkpoint', '--audit-file']) {
      const { code, stderr } = await reencrypt({ [option]: '' });
      expect({ code, stderr }).toEqual({ code: 2, stderr: `keyfold: ${option} names no file.\n` });
    }
    expect((await reencrypt({ '--output': '-' })).stderr).toContain('--output must be a file');
    expect((await keyfold(['verify', at('rows'), '--report', ''])).stderr).toBe('keyfold: --report names no file.\n');
    expect(await readdir(folder)).toEqual(['rows']);
  });

  it('is named in an error before the work begins if the folder of the file does not exist', async () => {
    for (const option of ['--quarantine', '--output', '--report', '--checkpoint', '--audit-file']) {
      const { code, stderr } = await reencrypt({ [option]: at('none/x') });
      expect({ option, code, stderr }).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/The file \S+\/none\/x cannot be written: ENOENT\./) as string,
      });
    }
    const { code, stdout, stderr } = await keyfold(['verify', at('rows'), '--report', at('none/x')]);
    expect({ code, stdout, stderr }).toEqual({
      code: 2,
      stdout: '',
      stderr: `keyfold: The file ${at('none/x')} cannot be written: ENOENT.\n`,
    });
  });

  it('is named in an error if the device is full, after the counts have been printed', async () => {
    const full = 'The file /dev/full cannot be written: ENOSPC.';
    const verified = await keyfold(['verify', at('rows'), '--report', '/dev/full']);
    expect(verified).toMatchObject({ code: 1, stderr: `keyfold: ${full}\n` });
    expect(verified.stdout).toContain('unreadable      1');
    const { code, stdout, stderr } = await reencrypt({ '--report': '/dev/full' });
    expect({ code, stderr }).toMatchObject({ code: 1, stderr: expect.stringContaining(full) as string });
    expect(stdout).toContain('in quarantine  1');
    expect((await keyfold(['keys', 'rotate', '--audit-file', '/dev/full'])).stderr).toBe(`keyfold: ${full}\n`);
  });

  it('is named in an error if it is a directory', async () => {
    expect(await keyfold(['verify', folder])).toMatchObject({
      code: 2,
      stderr: `keyfold: The file ${folder} cannot be read: EISDIR.\n`,
    });
  });
});

describe('invalid arguments', () => {
  it('are refused by reencrypt before it reads a row', async () => {
    const empty = await reencrypt({ '--partition': '' }, 'seal');
    expect(empty).toMatchObject({ code: 2, stderr: expect.stringContaining('The partition is empty') as string });
    const path = await reencrypt({ '--partition': 'tenant-1', '--fields': '$..[' }, 'seal');
    expect(path).toMatchObject({ code: 2, stderr: expect.stringContaining('fields[0]') as string });
    const url = { DATABASE_URL: 'mysql://user:CANARY@127.0.0.1:9/db' };
    const options = ['--verb', 'rewrap', '--field', 'x', '--quarantine', at('quarantine')];
    const other = await keyfold(['reencrypt', 'postgres:table', ...options], url);
    expect(other).toMatchObject({ code: 2, stderr: expect.stringContaining('DATABASE_URL must begin') as string });
    expect(JSON.stringify([empty, path, other])).not.toContain('CANARY');
    expect(await readdir(folder)).toEqual(['rows']);
  });

  it('are refused by keys prove if --against names no table, or names the key table itself', async () => {
    const arn = 'arn:aws:dynamodb:us-west-2:111122223333:table/EncryptionKey';
    for (const table of ['', 'EncryptionKey', arn]) {
      const { code, stderr } = await keyfold(['keys', 'prove', '--dry-run', '--against', table]);
      expect({ code, stderr }).toEqual({
        code: 2,
        stderr: 'keyfold: --against must name a table that was restored from a backup, and not the key table.\n',
      });
    }
  });
});

it.for([
  ['reencrypt', '--partition', 'tenant-1', '--field', ''],
  ['reencrypt', '--field', 'card', '--partition-field', ''],
  ['reencrypt', '--partition', 'tenant-1', '--field', 'card', '--context-from', 'x='],
  ['verify', '--field', ''],
])('refuses an empty field name before it reads a row: %j', async ([command = '', ...options]) => {
  await writeFile(at('rows'), '{"":"secret","id":1}\n');
  const verb = command === 'verify' ? [] : ['--verb', 'seal', '--quarantine', at('quarantine')];
  const output = command === 'verify' ? [] : ['--output', at('output')];
  const stderr = `keyfold: ${options.at(-2) ?? ''} names no field.\n`;
  for (const source of [[at('rows'), ...output], ['dynamodb:Rows']]) {
    expect(await keyfold([command, ...source, ...verb, ...options])).toMatchObject({ code: 2, stderr });
  }
});

it('keys retire-check refuses a report that has negative counts, a key without a date, or no service', async () => {
  const report = {
    kind: 'keyfold-records',
    source: 'x',
    startedAt: '2026-01-01T00:00:00Z',
    service: 'a',
    product: 'b',
  };
  const key = { id: '_IK_tenant-1_orders_shop', created: 60 };
  const check = ['keys', 'retire-check', '_SK_orders_shop', 'latest', '--report', at('report')];
  const refused = {
    code: 2,
    stderr: `keyfold: The file ${at('report')} is not a report of keyfold verify or reencrypt.\n`,
  };
  for (const text of ['', 'x', 'null', '[]']) {
    await writeFile(at('report'), text);
    expect(await keyfold(check)).toMatchObject(refused);
  }
  for (const wrong of [
    { malformed: 0, keys: [{ ...key, records: -5 }] },
    { malformed: 0, keys: [{ ...key, created: -1, records: 1 }] },
    { malformed: 0, keys: [{ ...key, id: 5, records: 1 }] },
    { malformed: 0, keys: [], kind: 'other' },
    { malformed: 0, keys: [], startedAt: 'today' },
    { malformed: 0, keys: [], source: 5 },
    { malformed: 0, keys: [], product: null },
    { malformed: -1, keys: [] },
    { malformed: 0, keys: [{ id: 'x', records: 1 }] },
    { malformed: 0, keys: [], service: undefined },
  ]) {
    await writeFile(at('report'), JSON.stringify({ ...report, ...wrong }));
    expect(await keyfold(check)).toMatchObject(refused);
  }
});

it('the commands keys rotate and maintain make no key if the minimum date for sealing is in the future', async () => {
  const future = { KEYFOLD_MIN_SEALING_CREATED: '2099-01-01T00:00:00Z' };
  for (const args of [['keys', 'rotate'], ['keys', 'rotate', '--dry-run'], ['maintain']]) {
    const { code, stderr } = await keyfold(args, future);
    expect({ args, code, stderr }).toMatchObject({
      code: 2,
      stderr: expect.stringContaining('minSealingCreated is more than ten minutes ahead') as string,
    });
  }
  const { stdout } = await keyfold(['keys', 'list', '--json']);
  expect((JSON.parse(stdout) as { state: string }[]).map(({ state }) => state)).not.toContain('dated-ahead');
});

it('every file that reencrypt writes can be read only by its owner', async () => {
  const { openRows } = world.operator.adapters;
  world.operator.adapters.openRows = async () => killedSource(() => world.operator.clock.advance(5000));
  const options = { '--report': at('report'), '--audit-file': at('audit'), '--checkpoint': at('checkpoint') };
  expect((await reencrypt(options)).code).toBe(1);
  world.operator.adapters.openRows = openRows;
  const checkpoint = (await stat(at('checkpoint'))).mode & 0o777;
  await rm(at('checkpoint'));
  expect((await reencrypt(options)).code).toBe(1);
  const names = (await readdir(folder)).filter((name) => name !== 'rows');
  const modes = await Promise.all(names.map(async (name) => [name, (await stat(at(name))).mode & 0o777]));
  expect([['checkpoint', checkpoint], ...modes]).toEqual(
    ['checkpoint', 'audit', 'output', 'quarantine', 'report'].map((name) => [name, 0o600]),
  );
});

describe('a file that is no checkpoint', () => {
  it.for<[content: string, text: string]>([
    ['no bytes', ''],
    ['text', 'x'],
    ['null', 'null'],
    ['a list', '[]'],
    ['no name of a run', '{"startedAtMs":1,"counts":{"keys":[]}}'],
    ['no start', '{"run":"r","counts":{"keys":[]}}'],
    ['half a millisecond as its start', '{"run":"r","startedAtMs":0.5,"counts":{"keys":[]}}'],
    ['no counts', '{"run":"r","startedAtMs":1}'],
    ['no list of keys', '{"run":"r","startedAtMs":1,"counts":{"keys":{}}}'],
  ])('is refused with an error that names the file, if it holds %s', async ([, text]) => {
    await writeFile(at('checkpoint'), text);
    const { code, stderr } = await reencrypt({ '--checkpoint': at('checkpoint') });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `keyfold: The file ${at('checkpoint')} is not a checkpoint of keyfold reencrypt.\n`,
    });
    expect(await readFile(at('checkpoint'), 'utf8')).toBe(text);
  });

  it('is refused with an error that names the file, if it cannot be read', async () => {
    const { code, stderr } = await reencrypt({ '--checkpoint': folder });
    expect({ code, stderr }).toEqual({ code: 2, stderr: `keyfold: The file ${folder} cannot be read: EISDIR.\n` });
  });
});

describe('a command that lacks a setting', () => {
  const unnamed = { KEYFOLD_SERVICE: undefined, KEYFOLD_PRODUCT: undefined };

  it.for<[command: string, environment: Record<string, undefined>, fault: string]>([
    ['keys prove', unnamed, 'set KEYFOLD_SERVICE and KEYFOLD_PRODUCT to prove its keys'],
    ['partitions erase tenant-1', unnamed, 'set KEYFOLD_SERVICE and KEYFOLD_PRODUCT to erase a partition'],
    [
      'keys retire-check _SK_orders_shop 1 --report REPORT',
      unnamed,
      'set KEYFOLD_SERVICE and KEYFOLD_PRODUCT to check their keys',
    ],
    ['table import', {}, 'set DATABASE_URL to the database with the key rows'],
    [
      'reencrypt postgres:rows --verb rewrap --field r --quarantine QUARANTINE',
      {},
      'set DATABASE_URL to the database with the rows',
    ],
  ])('names the missing setting in the error (%s)', async ([command, environment, fault]) => {
    const args = command.replace('REPORT', at('report')).replace('QUARANTINE', at('quarantine')).split(' ');
    const { code, stderr } = await keyfold(args, environment);
    expect({ code, stderr }).toEqual({ code: 2, stderr: `keyfold: Keyfold cannot start:\n- ${fault}\n` });
  });

  it('names the missing setting in the error if the setting is the region of the key table', async () => {
    for (const name of ['AWS_REGION', 'AWS_DEFAULT_REGION']) vi.stubEnv(name, undefined);
    vi.stubEnv('AWS_CONFIG_FILE', at('none'));
    const { code, stderr } = await keyfold(['keys', 'prove', '--against', 'Backup']);
    vi.unstubAllEnvs();
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: 'keyfold: Keyfold cannot start:\n- no region is set: --region, KEYFOLD_DYNAMODB_REGION or AWS_REGION\n',
    });
  });
});

it.for(['keys list', 'doctor', 'table import'].flatMap((one) => [[one, 'mysql'] as const, [one, 'postgres'] as const]))(
  '%s explains why the database driver refuses a URL with an unescaped percent sign in the password (%s)',
  async ([command, protocol]) => {
    const url = `${protocol}://u:100%CANARY@127.0.0.1:1/keys`;
    const name = command === 'table import' ? 'DATABASE_URL' : 'KEYFOLD_METASTORE_URL';
    const environment = {
      [name]: url,
      KEYFOLD_DYNAMODB_ENDPOINT: undefined,
      KEYFOLD_STATIC_MASTER_KEY_HEX: '07'.repeat(32),
    };
    const { code, stdout, stderr } = await keyfold(command.split(' '), environment);
    expect(code).toBe(2);
    expect(stdout + stderr).toContain(`the driver refuses ${name} (URIError): a % in the password is written as %25`);
    expect(stdout + stderr).not.toContain('CANARY');
  },
);

it('a setting for key tables in DynamoDB is refused if KEYFOLD_METASTORE_URL is set', async () => {
  const database = { KEYFOLD_METASTORE_URL: 'postgres://127.0.0.1:9/keyfold', KEYFOLD_DYNAMODB_ENDPOINT: undefined };
  const settings = { TABLE: 'Keys', DYNAMODB_REGION: 'us-west-2', DYNAMODB_ENDPOINT: 'http://127.0.0.1:9' };
  for (const [name, value] of Object.entries(settings)) {
    const { code, stderr } = await keyfold(['keys', 'list'], { ...database, [`KEYFOLD_${name}`]: value });
    expect({ code, stderr }).toEqual({
      code: 2,
      stderr: `keyfold: Keyfold cannot start:\n- KEYFOLD_${name} has no meaning with KEYFOLD_METASTORE_URL\n`,
    });
  }
});
