import type { Metastore } from '../envelope/ports.ts';
import type { SystemKeyStore } from './system-key-maintenance.ts';

/**
 * Wraps a metastore so that writes succeed without changing anything. With it, a maintenance run shows what it would
 * do.
 */
export function dryRunStore(metastore: Metastore & SystemKeyStore): Metastore & SystemKeyStore {
  return {
    load: (id, created, deadline) => metastore.load(id, created, deadline),
    loadLatest: (id, deadline) => metastore.loadLatest(id, deadline),
    loadRecent: async (id, notAfter, deadline) => (await metastore.loadRecent?.(id, notAfter, deadline)) ?? [],
    rows: (id, deadline) => metastore.rows(id, deadline),
    store: async () => 'stored',
    replaceKey: async () => 'replaced',
  };
}
