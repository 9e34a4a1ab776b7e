import type { IncomingMessage, ServerResponse } from 'node:http';
import type { CallJournal } from './call-journal.ts';
import { isFromThisMachine } from '../emulators/http-body.ts';
import type { KeyRows } from './key-rows.ts';
import { parseFault } from '../emulators/kms/faults.ts';
import type { KmsEmulator } from '../emulators/kms/kms-emulator.ts';
import type { KeyService } from './key-service.ts';
import { erase, revoke, rotate, type RunCommand } from './page-commands.ts';
import { pageFileOf, sendPageFile } from './page-files.ts';

/** The parts of the local world that the page shows and changes. */
export interface PageDependencies {
  readonly keyService: KeyService;
  readonly keys: KeyRows;
  readonly journal: CallJournal;
  /** The regions of the KMS emulator, beginning with the preferred one. */
  readonly regions: readonly string[];
  /** Runs a `keyfold` command on the key table and the KMS keys. */
  readonly run: RunCommand;
}

/** Responds to a request for the page or one of its routes. Resolves to false if the request is for something else. */
export type PageServer = (request: IncomingMessage, body: Buffer, response: ServerResponse) => Promise<boolean>;

type Route = (world: PageDependencies, body: Buffer, parts: readonly string[]) => unknown;

const FAULT = /^\/local\/regions\/([^/]+)\/fault$/;
const CALLS = /^\/local\/calls(?:\?since=(\d{1,15}))?$/;

/** The routes under `/local/` that only the page uses. */
const ROUTES: readonly (readonly [method: string, path: RegExp, route: Route])[] = [
  ['GET', /^\/local\/state$/, describe],
  ['GET', CALLS, listCalls],
  ['PUT', FAULT, (world, body, [region = '']) => emulatorOf(world).setFault(region, parseFault(parse(body)))],
  ['DELETE', FAULT, (world, _, [region = '']) => emulatorOf(world).clearFault(region)],
  ['POST', /^\/local\/keys\/revoke$/, ({ run }, body) => revoke(run, parse(body))],
  ['POST', /^\/local\/keys\/rotate$/, ({ run }, body) => rotate(run, parse(body))],
  ['POST', /^\/local\/partitions\/erase$/, ({ run }, body) => erase(run, parse(body))],
];

/**
 * Serves the page at `/`, and the routes under `/local/` with which the page reads and changes the emulators. The
 * routes refuse requests from other sites, because otherwise another site's web page could revoke keys.
 */
export function createPageServer(world: PageDependencies): PageServer {
  return async (request, body, response) => {
    const { url = '/' } = request;
    // Node leaves the body out of the response to HEAD.
    const method = request.method === 'HEAD' ? 'GET' : request.method;
    const file = method === 'GET' ? pageFileOf(url) : undefined;
    if (file !== undefined) {
      await sendPageFile(file, response);
      return true;
    }
    if (!url.startsWith('/local/')) return false;
    if (!isFromThisMachine(request)) {
      send(response, 403, { error: 'Only requests from this machine may control the local world.' });
      return true;
    }
    for (const [routeMethod, path, route] of ROUTES) {
      const parts = routeMethod === method ? path.exec(url)?.slice(1) : undefined;
      if (parts === undefined) continue;
      await answer(() => route(world, body, parts), response);
      return true;
    }
    return false;
  };
}

async function answer(work: () => unknown, response: ServerResponse): Promise<void> {
  try {
    send(response, 200, (await work()) ?? {});
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    send(response, 400, { error: error.message });
  }
}

/** Returns the calls since a position. Without `since` it returns the current position and no calls. */
function listCalls({ journal }: PageDependencies, _: Buffer, [since]: readonly (string | undefined)[]): object {
  const { position } = journal;
  return { position, calls: journal.since(since === undefined ? position : Number(since)) };
}

/**
 * Returns the key service, its regions and the keys. The list of regions is empty if the key service is not the KMS
 * emulator.
 */
async function describe({ keyService, keys, regions }: PageDependencies): Promise<object> {
  const known = keyService.emulator?.describe();
  return {
    keyService: keyService.name,
    regions: (known ? regions : []).map((region, i) => ({
      region,
      preferred: i === 0,
      fault: known?.find((one) => one.region === region)?.fault ?? null,
    })),
    keys: await keys.list(),
  };
}

/** @throws RangeError if the key service is not the KMS emulator */
function emulatorOf({ keyService: { emulator, name } }: PageDependencies): KmsEmulator {
  if (emulator === undefined) throw new RangeError(`${name} has no regions whose faults can be set.`);
  return emulator;
}

/** @throws RangeError if the body is not JSON */
function parse(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString('utf8'));
  } catch {
    throw new RangeError('The body is not JSON.');
  }
}

function send(response: ServerResponse, status: number, content: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json', 'cache-control': 'no-store' });
  response.end(JSON.stringify(content));
}
