import { Socket } from 'node:net';
import { vi, type Mock } from 'vitest';

/**
 * From now on no connection is established and none fails, as if a firewall dropped the packets. `vi.restoreAllMocks`
 * ends it.
 */
export function holdConnections(): Mock {
  return vi.spyOn(Socket.prototype, 'connect').mockImplementation(function (this: Socket) {
    return Object.assign(this, { connecting: true });
  });
}
