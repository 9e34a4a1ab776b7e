import { installPeers } from './install.ts';

/** Vitest's global set-up: installs what the peers' tests need. */
export async function setup(): Promise<void> {
  await installPeers();
}
