import { errorMonitor } from 'node:events';
import type { Agent, ClientRequest } from 'node:http';
import type { Socket } from 'node:net';

/** How often the process notes that it runs while an agent has connections. */
const BEAT_MS = 25;
/** Time that the process neither worked nor planned to wait. From here on it counts as a freeze. */
const FREEZE_MS = 100;

/** Which requests the agent of {@link guardAgainstFreezes} makes. */
export interface GuardOptions {
  /**
   * How long after a freeze a request that was in flight waits for the next byte of its answer, in milliseconds. Then its
   * connection ends with `ECONNRESET`, so all requests of the agent must be safe to repeat. Without it they are left alone.
   */
  readonly answerWithinMs?: number;
}

/**
 * Makes an agent forget the connections that were open when the process was frozen. Lambda freezes a process between
 * invocations, and meanwhile the other side or anything on the way may forget a connection. A request that is sent on it is
 * reset, or waits until it times out.
 *
 * - After a freeze, idle connections are closed. Connections in use are closed when they become idle.
 * - After a request has failed on a kept connection, idle connections are closed, too: its retry gets a new one.
 *
 * A freeze shows as time in which the process did not work, and longer than its timer was set for. A machine that starves the
 * process looks the same, and costs it no more than a new connection. The timer runs only while there are connections, and does
 * not keep the process alive.
 *
 * @returns the same agent
 * @example
 * const httpsAgent = guardAgainstFreezes(new Agent({ keepAlive: true }));
 */
export function guardAgainstFreezes<Guarded extends Agent>(agent: Guarded, options: GuardOptions = {}): Guarded {
  if (guarded.has(agent)) return agent;
  guarded.add(agent);
  const guard = new FreezeGuard(agent, options);
  // Not documented, but the one step before an agent chooses a connection; proxies' agents build on it, too.
  const hooked = agent as unknown as { addRequest(request: ClientRequest, ...more: unknown[]): void };
  const addRequest = hooked.addRequest.bind(agent);
  hooked.addRequest = (request, ...more) => {
    guard.beforeRequest();
    request.once(errorMonitor, () => {
      if (request.reusedSocket) guard.closeIdle();
    });
    addRequest(request, ...more);
  };
  // Before the agent's own listener, which hands the connection to the next request in line.
  agent.prependListener('free', (socket: Socket) => guard.beforeIdle(socket));
  return agent;
}

const guarded = new WeakSet<Agent>();

/** A connection in use when the process was frozen. */
interface Suspect {
  readonly bytesRead: number;
  /** Beats since it last read something: time in which the process runs and could have read more. */
  beats: number;
}

class FreezeGuard {
  readonly #agent: Agent;
  readonly #answerWithinMs: number;
  #timer: NodeJS.Timeout | undefined;
  #lastSeen = seenNow();
  /** Connections older than the last freeze that were in use then. */
  readonly #stale = new WeakSet<Socket>();
  readonly #suspects = new Map<Socket, Suspect>();

  constructor(agent: Agent, { answerWithinMs = Infinity }: GuardOptions) {
    this.#agent = agent;
    this.#answerWithinMs = answerWithinMs;
    // Whatever it has open already is watched from now on.
    this.beforeRequest();
  }

  beforeRequest(): void {
    this.#look();
    this.#timer ??= setInterval(() => this.#beat(), BEAT_MS).unref();
  }

  beforeIdle(socket: Socket): void {
    this.#look();
    this.#suspects.delete(socket);
    if (this.#stale.has(socket)) socket.destroy();
  }

  closeIdle(): void {
    for (const socket of socketsIn(this.#agent.freeSockets)) socket.destroy();
  }

  #beat(): void {
    this.#look();
    this.#endUnanswered();
    if (socketsIn(this.#agent.sockets).length > 0 || socketsIn(this.#agent.freeSockets).length > 0) return;
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** Notes that the process runs, and finds out whether it was frozen since that was last noted. */
  #look(): void {
    const before = this.#lastSeen;
    this.#lastSeen = seenNow();
    if (idleMsBetween(before, this.#lastSeen) < FREEZE_MS) return;
    this.closeIdle();
    for (const socket of socketsIn(this.#agent.sockets)) {
      this.#stale.add(socket);
      if (!this.#suspects.has(socket)) this.#suspects.set(socket, { bytesRead: socket.bytesRead, beats: 0 });
    }
  }

  #endUnanswered(): void {
    for (const [socket, suspect] of this.#suspects) {
      suspect.beats += 1;
      if (socket.destroyed) this.#suspects.delete(socket);
      else if (socket.bytesRead > suspect.bytesRead) {
        // It may have come before the freeze, without the rest of the answer.
        this.#suspects.set(socket, { bytesRead: socket.bytesRead, beats: 0 });
      } else if (suspect.beats * BEAT_MS > this.#answerWithinMs) {
        this.#suspects.delete(socket);
        socket.destroy(Object.assign(new Error('No answer after the process was frozen.'), { code: 'ECONNRESET' }));
      }
    }
  }
}

/** A moment at which the process runs. */
interface Seen {
  /** It goes on while the process is stopped, and stands still while the machine is suspended. */
  readonly monotonicMs: number;
  /** It goes on while the machine is suspended, and may be set back. */
  readonly wallMs: number;
  /** What this thread has worked. */
  readonly workedMs: number;
}

function seenNow(): Seen {
  // Node 20 knows only all threads' together.
  const { user, system } = process.threadCpuUsage?.() ?? process.cpuUsage();
  return { monotonicMs: performance.now(), wallMs: Date.now(), workedMs: (user + system) / 1000 };
}

function idleMsBetween(before: Seen, after: Seen): number {
  const passedMs = Math.max(after.monotonicMs - before.monotonicMs, after.wallMs - before.wallMs);
  return passedMs - (after.workedMs - before.workedMs);
}

function socketsIn(byOrigin: Agent['sockets']): Socket[] {
  return Object.values(byOrigin).flatMap((sockets = []) => sockets);
}
