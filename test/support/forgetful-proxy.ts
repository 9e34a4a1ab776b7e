import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';

/** What a forgotten connection answers with: a reset, or nothing. */
export type Forgetting = 'reset' | 'silence';

/** One connection of a client's. */
interface Passage {
  readonly client: Socket;
  readonly upstream: Socket;
  forgotten?: Forgetting;
  /** Answers that are held back. */
  readonly heldBack: Buffer[];
}

/**
 * Passes TCP connections on, and can forget them all, as a load balancer or a NAT gateway does: the client hears
 * nothing of it until it sends again.
 */
export class ForgetfulProxy {
  /** How many connections were opened. */
  opened = 0;
  /** How often something was sent on a connection that was forgotten before. */
  late = 0;
  /** Answers to requests that match are held back. */
  hold: RegExp | undefined;
  /** How many answers are held back. */
  held = 0;
  readonly port: number;
  readonly #server: Server;
  readonly #passages = new Set<Passage>();

  private constructor(server: Server, port: number) {
    this.#server = server;
    this.port = port;
  }

  /** @param upstreamPort where connections are passed on to, on 127.0.0.1 */
  static async start(upstreamPort: number): Promise<ForgetfulProxy> {
    const server = createServer((client) => proxy.#pass(client, connect(upstreamPort, '127.0.0.1')));
    await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve));
    const proxy: ForgetfulProxy = new ForgetfulProxy(server, (server.address() as AddressInfo).port);
    return proxy;
  }

  /** How many connections there are that are not forgotten. */
  get open(): number {
    return [...this.#passages].filter(({ forgotten }) => forgotten === undefined).length;
  }

  /**
   * Forgets every connection.
   * @param isTruncating whether all but the last byte of an answer that is held back arrives first
   */
  forget(forgotten: Forgetting, isTruncating = false): void {
    for (const passage of this.#passages) {
      if (isTruncating) passage.client.write(Buffer.concat(passage.heldBack).subarray(0, -1));
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
        isHeld ||= this.hold?.test(bytes.toString('latin1')) === true;
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
