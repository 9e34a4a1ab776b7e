import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { createServer, type IncomingHttpHeaders, type Server, type ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import { readBody } from '../../emulators/http-body.ts';
import { close, listen } from '../../emulators/listen.ts';

/** The faults that an address of Vault can have. */
export const VAULT_FAULTS = [
  'refuse',
  'hang',
  'slow',
  '5xx',
  'sealed',
  'standby',
  '403',
  '429',
  'missing key',
  'trimmed version',
  'garbage',
  'reset',
] as const;
export type VaultFault = (typeof VAULT_FAULTS)[number];

/** A request as it arrived. */
export interface VaultRequest {
  readonly path: string;
  readonly headers: IncomingHttpHeaders;
  readonly body: Readonly<Record<string, unknown>>;
}

/** How long a slow address takes to respond. */
const SLOW_MS = 100;

/** The tokens that the addresses of one cluster accept, and the leases that they issue. */
export class StubCluster {
  readonly tokens = new Set(['fixed']);
  leaseSeconds = 3600;
  renewable = true;
  /** The lease after a renewal, if it differs from the lease after a login. */
  renewedSeconds: number | undefined;
  /** The status of the response to a renewal that fails. Undefined if renewals succeed. */
  renewalStatus: number | undefined;
  /** Why a login fails. Undefined if it succeeds. */
  loginRefusal: string | undefined;
  readonly #key = randomBytes(32);
  #issued = 0;

  issue(): object {
    const client_token = `issued-${(this.#issued += 1)}`;
    this.tokens.add(client_token);
    return { client_token, lease_duration: this.leaseSeconds, renewable: this.renewable };
  }

  encrypt(plaintext: string): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv('aes-256-gcm', this.#key, nonce);
    const sealed = Buffer.concat([nonce, cipher.update(plaintext, 'base64'), cipher.final(), cipher.getAuthTag()]);
    return `vault:v1:${sealed.toString('base64')}`;
  }

  /** Decrypts a ciphertext to base64. Returns undefined if the ciphertext does not open. */
  decrypt(ciphertext: string): string | undefined {
    const bytes = Buffer.from(ciphertext.replace('vault:v1:', ''), 'base64');
    const decipher = createDecipheriv('aes-256-gcm', this.#key, bytes.subarray(0, 12));
    try {
      decipher.setAuthTag(bytes.subarray(-16));
      return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]).toString('base64');
    } catch {
      return undefined;
    }
  }
}

/** One address of a Vault, for faults that a real Vault does not cause on demand. Responds as OpenBao 2.7 does. */
export class StubVault {
  readonly requests: VaultRequest[] = [];
  readonly url: string;
  readonly #server: Server;
  readonly #port: number;
  readonly #cluster: StubCluster;
  #fault: VaultFault | undefined;

  private constructor(server: Server, port: number, cluster: StubCluster) {
    this.#server = server;
    this.#port = port;
    this.url = `http://127.0.0.1:${port}`;
    this.#cluster = cluster;
    server.on('request', (request, response) => {
      void readBody(request, 1_000_000).then((bytes) => {
        const body = JSON.parse(String(bytes)) as VaultRequest['body'];
        const received = { path: request.url ?? '', headers: request.headers, body };
        this.requests.push(received);
        return this.#respond(received, response);
      });
    });
  }

  static async start(cluster = new StubCluster()): Promise<StubVault> {
    const server = createServer();
    return new StubVault(server, await listen(server, 0), cluster);
  }

  /** Injects a fault into this address, or ends the fault. */
  async befall(fault: VaultFault | undefined): Promise<void> {
    if (this.#fault === 'refuse') await listen(this.#server, this.#port);
    this.#fault = fault;
    if (fault === 'refuse') await close(this.#server);
  }

  async stop(): Promise<void> {
    if (this.#fault !== 'refuse') await close(this.#server);
  }

  /** Returns the paths of the requests since this method was last called. */
  takePaths(): string[] {
    return this.requests.splice(0).map(({ path }) => path.replace('/v1/', ''));
  }

  async #respond(request: VaultRequest, response: ServerResponse): Promise<void> {
    if (this.#fault === 'hang') return;
    if (this.#fault === 'slow') await sleep(SLOW_MS);
    if (this.#fault === 'garbage') {
      response.end('<html>Welcome to the proxy</html>');
      return;
    }
    if (this.#fault === 'reset') {
      response.writeHead(200, { 'content-length': '1000' });
      response.write('{"data":{"plain');
      await sleep(10);
      response.destroy();
      return;
    }
    const [status, body] = this.#answerTo(request);
    response.writeHead(status, { 'content-type': 'application/json', ...(status === 307 && { location: '/v1/x' }) });
    response.end(JSON.stringify(body));
  }

  #answerTo({ path, headers, body }: VaultRequest): [status: number, body: object] {
    const cluster = this.#cluster;
    const isDecrypt = path.includes('/decrypt/');
    if (this.#fault === '5xx') return refusal(500, 'internal error');
    if (this.#fault === 'sealed') return refusal(503, 'Vault is sealed');
    if (this.#fault === 'standby') return refusal(307);
    if (this.#fault === '429') return refusal(429, 'request path "transit": rate limit quota exceeded');
    if (path.endsWith('/login')) {
      const why = cluster.loginRefusal;
      return why === undefined ? [200, { auth: cluster.issue() }] : refusal(400, why);
    }
    if (this.#fault === '403' || !cluster.tokens.has(String(headers['x-vault-token']))) {
      return refusal(403, 'permission denied');
    }
    if (path === '/v1/auth/token/renew-self') {
      if (cluster.renewalStatus !== undefined) return refusal(cluster.renewalStatus, 'not now');
      const lease_duration = cluster.renewedSeconds ?? cluster.leaseSeconds;
      return [200, { auth: { client_token: headers['x-vault-token'], lease_duration, renewable: true } }];
    }
    if (this.#fault === 'missing key') return refusal(400, 'encryption key not found');
    if (!isDecrypt) return [200, { data: { ciphertext: cluster.encrypt(String(body['plaintext'])), key_version: 1 } }];
    if (this.#fault === 'trimmed version') {
      return refusal(400, 'ciphertext or signature version is disallowed by policy (too old)');
    }
    const plaintext = cluster.decrypt(String(body['ciphertext']));
    return plaintext === undefined
      ? refusal(400, 'cipher: message authentication failed')
      : [200, { data: { plaintext } }];
  }
}

function refusal(status: number, ...errors: string[]): [number, object] {
  return [status, { errors }];
}
