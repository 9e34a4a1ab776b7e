import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { PEERS_FOLDER } from './peers-folder.ts';
import { end, freePort } from './processes.ts';

const STARTS_WITHIN_MS = 60_000;

/** The token that may do everything. */
export const ROOT = 'root';

/** A real OpenBao in development mode, in memory. */
export class OpenBao {
  readonly url: string;
  /** The server, to be stopped, continued or killed. */
  readonly process: ChildProcess;
  readonly #home: string;
  #output = '';

  private constructor(port: number, home: string) {
    this.url = `http://127.0.0.1:${port}`;
    this.#home = home;
    const options = [`-dev-root-token-id=${ROOT}`, `-dev-listen-address=127.0.0.1:${port}`, '-dev-no-store-token'];
    const program = join(PEERS_FOLDER, 'openbao', 'bin', 'bao');
    this.process = spawn(program, ['server', '-dev', ...options], {
      env: { PATH: process.env['PATH'], HOME: home },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.process.stdout, this.process.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.#output += text));
    }
    process.once('exit', this.#endOnExit);
  }

  /** Starts a server. If `prepared` is true, as by default, it has a transit engine and AppRole. */
  static async start({ prepared = true }: { readonly prepared?: boolean } = {}): Promise<OpenBao> {
    const giveUpAtMs = Date.now() + STARTS_WITHIN_MS;
    const home = await mkdtemp(join(tmpdir(), 'keyfold-openbao-'));
    let bao = new OpenBao(await freePort(), home);
    while (!/Unseal Key: \S+/.test(bao.#output) || (await bao.#status('sys/health')) !== 200) {
      if (Date.now() > giveUpAtMs) throw new Error(`OpenBao does not start. Its output:\n${bao.#output}`);
      await sleep(100);
      // OpenBao also listens on the next port. If another process has that port, OpenBao exits.
      if (bao.process.exitCode !== null) bao = new OpenBao(await freePort(), home);
    }
    if (!prepared) return bao;
    await bao.write('sys/mounts/transit', { type: 'transit' });
    await bao.write('sys/auth/approle', { type: 'approle' });
    return bao;
  }

  /** Calls the API as root. @throws Error if OpenBao refuses */
  async write(path: string, body: object, namespace = ''): Promise<Readonly<Record<string, unknown>>> {
    const headers = { 'x-vault-token': ROOT, ...(namespace !== '' && { 'x-vault-namespace': namespace }) };
    const answer = await fetch(`${this.url}/v1/${path}`, { method: 'POST', headers, body: JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${path}: ${answer.status} ${text}`);
    return text === '' ? {} : ((JSON.parse(text) as { data: Record<string, unknown> | null }).data ?? {});
  }

  /** Makes a policy that allows the use of a transit key, but not the creation of one, and an AppRole role with it. */
  async makeRole(name: string, transitKey: string, role: object): Promise<{ roleId: string; secretId: string }> {
    const paths = ['encrypt', 'decrypt'].map((action) => `path "transit/${action}/${transitKey}"`);
    const policy = paths.map((path) => `${path} { capabilities = ["update"] }`).join('\n');
    await this.write(`sys/policies/acl/${name}`, { policy });
    await this.write(`auth/approle/role/${name}`, { token_policies: name, ...role });
    return this.roleOf(name);
  }

  /** The role ID and a new secret ID of an AppRole role. */
  async roleOf(name: string): Promise<{ roleId: string; secretId: string }> {
    const headers = { 'x-vault-token': ROOT };
    const answer = await fetch(`${this.url}/v1/auth/approle/role/${name}/role-id`, { headers });
    const { data } = (await answer.json()) as { data: { role_id: string } };
    const { secret_id: secretId } = await this.write(`auth/approle/role/${name}/secret-id`, {});
    return { roleId: data.role_id, secretId: String(secretId) };
  }

  /** Runs CLI commands with the root token. @throws Error if one fails */
  async run(commands: string): Promise<void> {
    const PATH = `${join(PEERS_FOLDER, 'openbao', 'bin')}:${process.env['PATH']}`;
    const env = { PATH, HOME: this.#home, BAO_ADDR: this.url, BAO_TOKEN: ROOT };
    await promisify(execFile)('sh', ['-e', '-c', commands], { env });
  }

  async unseal(): Promise<void> {
    const [, key = ''] = /Unseal Key: (\S+)/.exec(this.#output) ?? [];
    await fetch(`${this.url}/v1/sys/unseal`, { method: 'POST', body: JSON.stringify({ key }) });
    while ((await this.#status('sys/health')) !== 200) await sleep(50);
  }

  async stop(): Promise<void> {
    process.off('exit', this.#endOnExit);
    await end(this.process);
    await rm(this.#home, { recursive: true });
  }

  readonly #endOnExit = (): void => void this.process.kill('SIGKILL');

  #status(path: string): Promise<number> {
    return fetch(`${this.url}/v1/${path}`).then(
      ({ status }) => status,
      () => 0,
    );
  }
}
