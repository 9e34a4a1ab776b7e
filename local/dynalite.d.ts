declare module 'dynalite' {
  import type { Server } from 'node:http';

  /** A DynamoDB emulator. `path` is a folder to keep tables in; without it they are in memory. */
  export default function dynalite(options?: { path?: string; createTableMs?: number }): Server;
}
