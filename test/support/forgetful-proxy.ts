import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What happens when a client sends something on a forgotten connection: a reset, or no response at all. */
export type Forgetting = 'reset' | 'silence';

/** The connection of one client. */
interface Passage {
  readonly client: Socket;
  readonly upstream: Socket;
  forgotten?: Forgetting;
  /** Responses that the proxy holds back. */
  readonly heldBack: Buffer[];
}

/**
 * A TCP proxy that can forget all its connections, as a load balancer or a NAT gateway does. A client notices this only
 * when it sends something.
 */
export class ForgetfulProxy {
  /** The number of connections opened so far. */
  opened = 0;
  /** How often a client sent something on a forgotten connection. */
  late = 0;
  /** Called with each part of a request, as Latin-1, before the proxy forwards it. */
  onRequest: (text: string) => void = () => {};
  /** The proxy holds back the responses to requests that match this pattern. */
  hold: RegExp | undefined;
  /** The number of responses held back so far. */
  held = 0;
  readonly port: number;
  readonly #server: Server;
  readonly #passages = new Set<Passage>();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** @param upstreamPort the port on 127.0.0.1 that the proxy connects to */
  static async start(upstreamPort: number): Promise<ForgetfulProxy> {
    // On a forgotten connection, the proxy must not respond to the end of the client's side either.
    const server = createServer({ allowHalfOpen: true }, (client) =>
      proxy.#pass(client, connect(upstreamPort, '127.0.0.1')),
    );
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const proxy: ForgetfulProxy = new ForgetfulProxy(server, (server.address() as AddressInfo).port);
    return proxy;
  }

  /** The number of open connections, without forgotten ones. */
  get open(): number {
    return [...this.#passages].filter(({ forgotten }) => forgotten === undefined).length;
  }

  /**
   * Forgets every connection.
   * @param released how much of each held-back response the client first receives
   */
  forget(forgotten: Forgetting, released: 'nothing' | 'all but the last byte' | 'all' = 'nothing'): void {
    for (const passage of this.#passages) {
      const heldBack = Buffer.concat(passage.heldBack);
      if (released === 'all') passage.client.write(heldBack);
      if (released === 'all but the last byte') passage.client.write(heldBack.subarray(0, -1));
      passage.forgotten ??= forgotten;
      passage.upstream.destroy();
    }
    this.hold = undefined;
    this.held = 0;
  }

  async stop(): Promise<void> {
    for (const { client, upstream } of this.#passages) for (const socket of [client, upstream]) socket.destroy();
    await new Promise((resolve) => void this.#server.close(resolve));
  }

  #pass(client: Socket, upstream: Socket): void {
    this.opened += 1;
    const passage: Passage = { client, upstream, heldBack: [] };
    let isHeld = false;
    this.#passages.add(passage);
    client.on('data', (bytes) => {
      if (passage.forgotten === undefined) {
        const text = bytes.toString('latin1');
        isHeld ||= this.hold?.test(text) === true;
        this.onRequest(text);
        upstream.write(bytes);
        return;
      }
      this.late += 1;
      if (passage.forgotten === 'reset') client.resetAndDestroy();
    });
    upstream.on('data', (bytes) => {
      if (!isHeld) client.write(bytes);
      else if (passage.heldBack.push(bytes) === 1) this.held += 1;
    });
    client.on('end', () => {
      if (passage.forgotten === undefined) client.end();
    });
    client.on('close', () => {
      this.#passages.delete(passage);
      upstream.destroy();
    });
    upstream.on('close', () => {
      if (passage.forgotten === undefined) client.destroy();
    });
    for (const socket of [client, upstream]) socket.on('error', () => {});
  }
}
