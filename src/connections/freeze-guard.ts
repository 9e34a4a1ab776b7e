import { errorMonitor } from 'node:events';
import type { Agent, ClientRequest } from 'node:http';
import type { Socket } from 'node:net';
import { FreezeDetector, TICK_MS } from './freeze-detector.ts';

/** The error for a connection that delivered no response after a freeze. The server is not at fault. */
export class FrozenConnection extends Error {
  readonly code = 'ECONNRESET';
  constructor() {
    super('No answer after the process was frozen.');
  }
}

/** Options of {@link guardAgainstFreezes}. */
export interface GuardOptions {
  /**
   * After a freeze, a request in progress waits this many milliseconds for the next byte of its response. If no byte
   * arrives, the request fails with `ECONNRESET`, so all requests of the agent must be safe to repeat. If this option
   * is absent, requests in progress are not ended.
   */
  readonly answerWithinMs?: number;
}

/**
 * Makes an agent close the connections that were open when the process was frozen. Lambda freezes a process between
 * invocations. Meanwhile the server, a firewall or a NAT gateway may drop a connection. A request on a dropped
 * connection fails with a reset or waits until it times out.
 *
 * - After a freeze, idle connections are closed. Connections in use are closed when they become idle.
 * - After a request fails on a reused connection, idle connections are closed, so that a retry opens a new connection.
 *
 * The guard has a timer of 25 ms. It detects a freeze if two ticks are at least 100 ms apart and the process used no
 * CPU time in between. An overloaded machine can look the same. In that case the only cost is a new connection. The
 * timer runs only while there are connections, and does not keep the process alive.
 *
 * @returns the same agent. Guarding an agent a second time has no effect.
 * @example
 * const httpsAgent = guardAgainstFreezes(new Agent({ keepAlive: true }));
 */
export function guardAgainstFreezes<Guarded extends Agent>(agent: Guarded, options: GuardOptions = {}): Guarded {
  if (guarded.has(agent)) return agent;
  guarded.add(agent);
  const guard = new FreezeGuard(agent, options);
  // `addRequest` is undocumented, but no other hook runs before an agent picks a connection. Proxy agents use it too.
  const hooked = agent as unknown as { addRequest(request: ClientRequest, ...more: unknown[]): void };
  const addRequest = hooked.addRequest.bind(agent);
  hooked.addRequest = (request, ...more) => {
    guard.beforeRequest();
    request.once(errorMonitor, () => {
      if (request.reusedSocket) guard.closeIdle();
    });
    addRequest(request, ...more);
  };
  // This must run before the agent's own `free` listener, which gives the connection to the next queued request.
  agent.prependListener('free', (socket: Socket) => guard.beforeIdle(socket));
  return agent;
}

const guarded = new WeakSet<Agent>();

/** A connection in use when the process was frozen. */
interface Suspect {
  readonly bytesRead: number;
  /**
   * The number of timer ticks since the last byte arrived. In each tick, the process could have read more of the
   * response.
   */
  ticks: number;
}

class FreezeGuard {
  readonly #agent: Agent;
  readonly #answerWithinMs: number;
  #timer: NodeJS.Timeout | undefined;
  readonly #detector = new FreezeDetector();
  /** Connections that were in use during a freeze. They are closed when they become idle. */
  readonly #stale = new WeakSet<Socket>();
  readonly #suspects = new Map<Socket, Suspect>();

  constructor(agent: Agent, { answerWithinMs = Infinity }: GuardOptions) {
    this.#agent = agent;
    this.#answerWithinMs = answerWithinMs;
    // Start the timer now, because the agent may already have connections.
    this.beforeRequest();
  }

  beforeRequest(): void {
    this.#checkForFreeze();
    this.#timer ??= setInterval(() => this.#tick(), TICK_MS).unref();
  }

  beforeIdle(socket: Socket): void {
    this.#checkForFreeze();
    this.#suspects.delete(socket);
    if (this.#stale.has(socket)) socket.destroy();
  }

  closeIdle(): void {
    for (const socket of socketsIn(this.#agent.freeSockets)) socket.destroy();
  }

  #tick(): void {
    this.#checkForFreeze();
    this.#endUnanswered();
    if (socketsIn(this.#agent.sockets).length > 0 || socketsIn(this.#agent.freeSockets).length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** If the process has been frozen since the last check, closes idle connections and marks all others. */
  #checkForFreeze(): void {
    if (!this.#detector.wasFrozen()) return;
    this.closeIdle();
    for (const socket of socketsIn(this.#agent.sockets)) {
      this.#stale.add(socket);
      if (!this.#suspects.has(socket)) this.#suspects.set(socket, { bytesRead: socket.bytesRead, ticks: 0 });
    }
  }

  #endUnanswered(): void {
    for (const [socket, suspect] of this.#suspects) {
      suspect.ticks += 1;
      if (socket.destroyed) this.#suspects.delete(socket);
      else if (socket.bytesRead > suspect.bytesRead) {
        // These bytes may have arrived before the freeze, without the rest of the response, so wait for more bytes.
        this.#suspects.set(socket, { bytesRead: socket.bytesRead, ticks: 0 });
      } else if (suspect.ticks * TICK_MS > this.#answerWithinMs) {
        this.#suspects.delete(socket);
        socket.destroy(new FrozenConnection());
      }
    }
  }
}

function socketsIn(byOrigin: Agent['sockets']): Socket[] {
  return Object.values(byOrigin).flatMap((sockets = []) => sockets);
}
