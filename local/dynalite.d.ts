declare module 'dynalite' {
  import type { Server } from 'node:http';

  /** A DynamoDB emulator. `path` is the folder that keeps the tables. Without it, the tables are in memory. */
  export default function dynalite(options?: { path?: string; createTableMs?: number }): Server;
}
