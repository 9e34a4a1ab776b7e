import { Socket } from 'node:net';
import { vi, type Mock } from 'vitest';

/**
 * Makes new connections hang, without success or failure, as if a firewall dropped their packets. `vi.restoreAllMocks`
 * ends this.
 */
export function holdConnections(): Mock {
  return vi.spyOn(Socket.prototype, 'connect').mockImplementation(function (this: Socket) {
    return Object.assign(this, { connecting: true });
  });
}
