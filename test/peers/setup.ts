import { installPeers } from './install.ts';

/** The global setup for Vitest, which installs what the peer tests need. */
export async function setup(): Promise<void> {
  await installPeers();
}
