/** Runs Debian's PostgreSQL and MariaDB. The packages are unpacked into `.peers/`, and each server has its own data. */
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { promisify } from 'node:util';
import { Client } from 'pg';
import { freePort } from '../../emulators/listen.ts';
import { PEERS_FOLDER } from './peers-folder.ts';
import { end } from './processes.ts';

const run = promisify(execFile);
const ROOT = join(PEERS_FOLDER, 'databases');
const POSTGRES = join(ROOT, 'usr/lib/postgresql/15/bin');
const LIBRARIES = ['usr/lib/x86_64-linux-gnu', 'usr/lib/aarch64-linux-gnu'].map((folder) => join(ROOT, folder));
const ENVIRONMENT = { PATH: process.env['PATH'], LD_LIBRARY_PATH: LIBRARIES.join(':'), TZ: 'UTC', LC_ALL: 'C.UTF-8' };
/**
 * The ID of the unprivileged user that runs PostgreSQL. The user's group has the same ID. PostgreSQL refuses to run as
 * root.
 */
const UNPRIVILEGED = 65_534;
const STARTS_WITHIN_MS = 60_000;

/** A database server for the tests. Its user `keyfold` may do anything, and has no password. */
export interface DatabaseServer {
  readonly port: number;
  /** Kills the server as a power cut would. */
  kill(): Promise<void>;
  /** Starts the server again after {@link kill}, on the same data and port. */
  start(): Promise<void>;
  /** Kills the server and removes its data. */
  stop(): Promise<void>;
}

/** Starts PostgreSQL 15 with an empty database `postgres`. */
export async function startPostgres(): Promise<DatabaseServer> {
  const identity = process.getuid?.() === 0 ? { uid: UNPRIVILEGED, gid: UNPRIVILEGED } : {};
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-pg-'));
  if (identity.uid !== undefined) await chown(folder, identity.uid, identity.gid);
  const data = join(folder, 'data');
  const options = { env: ENVIRONMENT, cwd: folder, ...identity };
  await run(
    join(POSTGRES, 'initdb'),
    ['-D', data, '-U', 'keyfold', '--auth=trust', '-E', 'UTF8', '--no-sync'],
    options,
  );
  const port = await freePort();
  const args = ['-D', data, '-h', '127.0.0.1', '-p', String(port), '-k', folder, '-c', 'fsync=off', '-c', 'jit=off'];
  return started(folder, port, acceptsQueries, () =>
    spawn(join(POSTGRES, 'postgres'), args, { ...options, stdio: 'ignore' }),
  );
}

/** Starts MariaDB 10.11 with an empty database `test`. */
export async function startMariaDb(): Promise<DatabaseServer> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-my-'));
  const share = join(ROOT, 'usr/share/mysql');
  const data = join(folder, 'data');
  const options = { env: ENVIRONMENT, cwd: folder };
  const port = await freePort();
  const args = [
    '--no-defaults',
    `--user=${userInfo().username}`,
    `--basedir=${join(ROOT, 'usr')}`,
    `--lc-messages-dir=${share}`,
    `--datadir=${data}`,
    '--innodb-buffer-pool-size=32M',
    // Debian's configuration file has the same setting, but this server does not read that file.
    '--character-set-server=utf8mb4',
    '--collation-server=utf8mb4_general_ci',
  ];
  const tables = ['mysql_system_tables.sql', 'mysql_performance_tables.sql', 'mysql_system_tables_data.sql'];
  const texts = await Promise.all(tables.map((name) => readFile(join(share, name), 'utf8')));
  const mariadbd = join(ROOT, 'usr/sbin/mariadbd');
  await run('mkdir', ['-p', data]);
  const bootstrap = spawn(mariadbd, [...args, '--bootstrap'], { ...options, stdio: ['pipe', 'ignore', 'ignore'] });
  bootstrap.stdin.end(['create database mysql;', 'create database test;', 'use mysql;', ...texts].join('\n'));
  await once(bootstrap, 'exit');
  const init = join(folder, 'init.sql');
  await writeFile(
    init,
    "CREATE USER IF NOT EXISTS keyfold@'127.0.0.1';\nGRANT ALL ON *.* TO keyfold@'127.0.0.1' WITH GRANT OPTION;\n",
  );
  const serving = [`--init-file=${init}`, '--bind-address=127.0.0.1', `--port=${port}`, `--socket=${folder}/s`];
  return started(folder, port, listens, () =>
    spawn(mariadbd, [...args, ...serving, '--skip-name-resolve'], { ...options, stdio: 'ignore' }),
  );
}

/** Starts a server, and waits until it is ready. */
export async function started(
  folder: string,
  port: number,
  isReady: (port: number) => Promise<boolean>,
  spawnServer: () => ChildProcess,
): Promise<DatabaseServer> {
  let child: ChildProcess;
  const endOnExit = (): void => void child.kill('SIGKILL');
  process.once('exit', endOnExit);
  const start = async (): Promise<void> => {
    child = spawnServer();
    const giveUpAtMs = Date.now() + STARTS_WITHIN_MS;
    while (!(await isReady(port))) {
      if (Date.now() > giveUpAtMs) throw new Error(`${child.spawnfile} does not start`);
      // After a kill, PostgreSQL does not start until all its old processes have noticed the kill and ended.
      if (child.exitCode !== null) child = spawnServer();
      await setTimeout(100);
    }
  };
  await start();
  return {
    port,
    start,
    kill: () => endWithChildren(child),
    stop: async () => {
      process.off('exit', endOnExit);
      await endWithChildren(child);
      await rm(folder, { recursive: true, force: true, maxRetries: 10 });
    },
  };
}

/** Kills a server and its children. Otherwise, a child of PostgreSQL could still run one more query. */
async function endWithChildren(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const children = await readFile(`/proc/${child.pid}/task/${child.pid}/children`, 'utf8');
  await end(child);
  for (const pid of children.split(' ').filter(Boolean)) {
    try {
      process.kill(Number(pid), 'SIGKILL');
    } catch {
      // This child has already ended, so there is nothing to kill.
    }
  }
}

/** PostgreSQL listens before it has started, and refuses connections until then. */
async function acceptsQueries(port: number): Promise<boolean> {
  const client = new Client({ host: '127.0.0.1', port, user: 'keyfold', database: 'postgres' });
  client.on('error', () => {});
  return client.connect().then(
    () => client.end().then(() => true),
    () => false,
  );
}

export function listens(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('connect', () => resolve(true));
    socket.once('error', () => resolve(false));
    socket.once('close', () => socket.destroy());
    socket.once('connect', () => socket.destroy());
  });
}
