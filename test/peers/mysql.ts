import { execFile, spawn } from 'node:child_process';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../emulators/listen.ts';
import { listens, started, type DatabaseServer } from './databases.ts';
import { installDebian } from './install.ts';
import { LIBRARIES } from './localstack.ts';
import { PEERS_FOLDER } from './peers-folder.ts';

const run = promisify(execFile);
const SID = join(PEERS_FOLDER, 'mysql');

/** Installs MySQL from Debian's sid, because no release of Debian has it. */
export function installMySql(): Promise<void> {
  return installDebian('mysql', 'debian-sid.txt', 'sid');
}

/** Starts MySQL, with sid's own libraries and an empty database `test`. */
export async function startMySql(): Promise<DatabaseServer> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-my-'));
  const [libraries = '', loader = ''] = LIBRARIES[process.arch] ?? [];
  const path = join(SID, 'usr', 'lib', libraries);
  const port = await freePort();
  const program = [
    '--library-path',
    path,
    join(SID, 'usr', 'sbin', 'mysqld'),
    '--no-defaults',
    `--user=${userInfo().username}`,
    `--basedir=${join(SID, 'usr')}`,
    `--lc-messages-dir=${join(SID, 'usr', 'share', 'mysql')}`,
    `--datadir=${join(folder, 'data')}`,
    '--secure-file-priv=NULL',
    '--mysqlx=OFF',
    '--skip-log-bin',
    '--innodb-buffer-pool-size=32M',
    '--innodb-flush-log-at-trx-commit=2',
    '--performance-schema=OFF',
  ];
  const options = { cwd: folder, env: { PATH: process.env['PATH'], TZ: 'UTC', LC_ALL: 'C.UTF-8' } };
  await run(join(path, loader), [...program, '--initialize-insecure'], options);
  const init = join(folder, 'init.sql');
  await writeFile(
    init,
    "CREATE DATABASE IF NOT EXISTS test;\nCREATE USER IF NOT EXISTS keyfold@'127.0.0.1';\n" +
      "GRANT ALL ON *.* TO keyfold@'127.0.0.1' WITH GRANT OPTION;\n",
  );
  const serving = [`--init-file=${init}`, '--bind-address=127.0.0.1', `--port=${port}`, `--socket=${folder}/s`];
  return started(folder, port, listens, () =>
    spawn(join(path, loader), [...program, ...serving, '--skip-name-resolve'], { ...options, stdio: 'ignore' }),
  );
}
