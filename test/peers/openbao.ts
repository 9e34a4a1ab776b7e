import { execFile, type ChildProcess } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { OpenBaoServer, transitPolicy } from '../../local/openbao.ts';
import { PEERS_FOLDER } from './peers-folder.ts';

/** The root token, which allows everything. */
export const ROOT = 'root';

/** The folder of the program `bao`. */
export const BAO_FOLDER = join(PEERS_FOLDER, 'openbao', 'bin');

/** A real OpenBao server in development mode, which keeps its data in memory. */
export class OpenBao {
  readonly #server: OpenBaoServer;

  private constructor(server: OpenBaoServer) {
    this.#server = server;
  }

  /** Starts a server, by default with a transit engine and AppRole. If `prepared` is false, the server has neither. */
  static async start({ prepared = true }: { readonly prepared?: boolean } = {}): Promise<OpenBao> {
    const bao = new OpenBao(await OpenBaoServer.start({ program: join(BAO_FOLDER, 'bao'), rootToken: ROOT }));
    if (!prepared) return bao;
    await bao.write('sys/mounts/transit', { type: 'transit' });
    await bao.write('sys/auth/approle', { type: 'approle' });
    return bao;
  }

  get url(): string {
    return this.#server.url;
  }

  /** The server's process, which a test can stop, continue or kill. */
  get process(): ChildProcess {
    return this.#server.process;
  }

  /** Calls the API as root, and returns the response's data. @throws Error if OpenBao refuses the call */
  async write(path: string, body: object, namespace = ''): Promise<Readonly<Record<string, unknown>>> {
    const { data } = await this.#server.write(path, body, namespace);
    return (data as Record<string, unknown> | null | undefined) ?? {};
  }

  /**
   * Makes a policy and an AppRole role that has it. The policy allows the use of a transit key, but not its creation.
   */
  async makeRole(name: string, transitKey: string, role: object): Promise<{ roleId: string; secretId: string }> {
    await this.write(`sys/policies/acl/${name}`, { policy: transitPolicy(transitKey) });
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
    const PATH = `${BAO_FOLDER}:${process.env['PATH']}`;
    const env = { PATH, HOME: this.#server.folder, BAO_ADDR: this.url, BAO_TOKEN: ROOT };
    await promisify(execFile)('sh', ['-e', '-c', commands], { env });
  }

  async unseal(): Promise<void> {
    const { unsealKey: key } = this.#server;
    await fetch(`${this.url}/v1/sys/unseal`, { method: 'POST', body: JSON.stringify({ key }) });
    while ((await this.#server.health()) !== 200) await sleep(50);
  }

  stop(): Promise<void> {
    return this.#server.stop();
  }
}
