import { Socket } from 'node:net';
import type { Client } from 'pg';
import { errorNameOf, invalidConfiguration } from '../../errors.ts';

/** The server and the database to which a URL of PostgreSQL leads. */
export interface PostgresServer {
  readonly host: string;
  readonly port: number;
  readonly database: string | undefined;
}

/**
 * Returns the server and the database to which a URL of PostgreSQL leads. If the URL leaves out a part, the driver uses
 * the environment, such as `PGHOST`. Does not connect. Call it before you make a pool: a pool reads the URL only when
 * it connects, and can never be ended if the port is impossible.
 * @param client the class `Client` of the driver
 * @param variable the environment variable that holds the URL, for errors
 * @throws KeyfoldError `InvalidConfiguration` if the driver refuses the URL, or if the port is not 1 to 65535
 */
export function postgresServerOf(client: typeof Client, url: string, variable: string): PostgresServer {
  const { host, port, database } = unlessRefused(variable, () => new client({ connectionString: url }));
  if (port >= 1 && port <= 65_535) return { host, port, database };
  throw invalidConfiguration([`the port in ${variable}, or in PGPORT, must be a number from 1 to 65535`]);
}

/** Calls the driver. The text of its error is omitted, because it may quote the URL with the password. */
export function unlessRefused<T>(variable: string, make: () => T): T {
  try {
    return make();
  } catch (error) {
    const fix = error instanceof URIError ? ': a % in the password is written as %25' : '';
    throw invalidConfiguration([`the driver refuses ${variable} (${errorNameOf(error)})${fix}`]);
  }
}

/**
 * Makes a socket for the driver that closes as soon as the driver ends it. Otherwise it stays open until the server
 * closes it, too. A server that does not speak TLS may never do so, and the process would not end.
 */
export function endingSocket(): Socket {
  const socket = new Socket();
  return socket.once('finish', () => socket.destroy());
}
