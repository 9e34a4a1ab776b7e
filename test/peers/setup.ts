import { installPeers } from './install.ts';

/** Vitest's global setup. It installs what the peer tests need. */
export async function setup(): Promise<void> {
  await installPeers();
}
