import { parseArgs } from 'node:util';

interface Emulator {
  readonly endpoint: string;
  readonly close: () => Promise<void>;
}

/**
 * Runs an emulator as a process. It reads `--port`, prints the endpoint, and ends on SIGTERM or SIGINT.
 * @param defaultPort the port to listen on if `--port` is not given
 */
export async function runEmulator(start: (port: number) => Promise<Emulator>, defaultPort: number): Promise<void> {
  const { values } = parseArgs({ options: { port: { type: 'string', default: String(defaultPort) } } });
  const port = Number(values.port);
  if (!/^\d{1,5}$/.test(values.port) || port > 65_535) throw new Error('--port must be a port from 0 to 65535');
  const { endpoint, close } = await start(port);
  // Add the signal handlers before printing the endpoint, because the parent process may stop the emulator as soon as
  // it has read the endpoint.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => void close());
  console.log(endpoint);
}
