import type { IncomingMessage, ServerResponse } from 'node:http';
import { readBody } from '../http-body.ts';
import { parseFault, type Fault } from './faults.ts';
import { keyArn, type KeyStore } from './key-store.ts';
import type { Regions } from './regions.ts';

const MAX_BODY_BYTES = 16 * 1024;

/** Whether a request calls the emulator's control API. All other requests are KMS calls. */
export function isControl(request: IncomingMessage): boolean {
  return /^\/(?:regions|faults)\b/.test(request.url ?? '');
}

/**
 * Responds to a request to the control API:
 * - `GET /regions` lists the keys, the fault and the calls of each region.
 * - `PUT` and `DELETE /regions/{region}/fault` set and clear the fault of a region.
 * - `DELETE /faults` clears the faults of all regions.
 */
export async function answerControl(
  store: KeyStore,
  regions: Regions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = await readBody(request, MAX_BODY_BYTES);
  const region = /^\/regions\/([^/]+)\/fault$/.exec(request.url ?? '')?.[1];
  switch (`${request.method} ${region === undefined ? request.url : '/regions/{region}/fault'}`) {
    case 'GET /regions':
      return send(response, 200, { regions: describeRegions(store, regions) });
    case 'DELETE /faults':
      regions.clearFaults();
      return send(response, 200, {});
    case 'DELETE /regions/{region}/fault':
      if (!isRegion(store, region)) return sendNoRegion(store, region, response);
      regions.clearFault(region);
      return send(response, 200, { region });
    case 'PUT /regions/{region}/fault':
      if (!isRegion(store, region)) return sendNoRegion(store, region, response);
      return setFault(regions, region, body, response);
    default:
      return send(response, 404, { error: 'The control API has no such path or method.' });
  }
}

/** @throws RangeError if the region has no key. The message lists the regions that have keys. */
export function requireRegion(store: KeyStore, region: string): void {
  if (!isRegion(store, region)) throw new RangeError(noRegion(store, region));
}

function isRegion(store: KeyStore, region: string | undefined): region is string {
  return store.regions().includes(region ?? '');
}

function noRegion(store: KeyStore, region = ''): string {
  return `Region '${region}' has no key. Regions with keys: ${store.regions().toSorted().join(', ')}`;
}

function sendNoRegion(store: KeyStore, region: string | undefined, response: ServerResponse): void {
  send(response, 404, { error: noRegion(store, region) });
}

function setFault(regions: Regions, region: string, body: Buffer | undefined, response: ServerResponse): void {
  if (body === undefined) return send(response, 413, { error: `The body is larger than ${MAX_BODY_BYTES} bytes.` });
  try {
    const fault = parseFault(JSON.parse(body.toString('utf8')));
    regions.setFault(region, fault);
    send(response, 200, { region, fault });
  } catch (error) {
    send(response, 400, { error: error instanceof RangeError ? error.message : 'The body is not JSON.' });
  }
}

/** How the control API describes a region. */
export interface RegionView {
  readonly region: string;
  readonly keys: readonly { readonly arn: string; readonly state: string }[];
  /** Null if the region has no fault. */
  readonly fault: Fault | null;
  /** The number of calls of each action. */
  readonly calls: Readonly<Record<string, number>>;
}

/** Describes every region that has a key or a fault, or that was called, sorted by name. */
export function describeRegions(store: KeyStore, regions: Regions): RegionView[] {
  const known = new Set([...store.regions(), ...regions.known()]);
  return [...known].toSorted().map((region) => ({
    region,
    keys: store.keysOf(region).map((key) => ({ arn: keyArn(key), state: key.state })),
    fault: regions.faultOf(region) ?? null,
    calls: regions.countsOf(region),
  }));
}

function send(response: ServerResponse, status: number, answer: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(`${JSON.stringify(answer)}\n`);
}
