import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { readBody } from '../../../emulators/http-body.ts';
import { close, listen } from '../../../emulators/listen.ts';
import { send } from './dynamodb-front.ts';

/** An endpoint at which the table has the same name in every region, like a Global Table. */
export interface RegionalEndpoint {
  readonly endpoint: string;
  readonly close: () => Promise<void>;
}

const MAX_BODY_BYTES = 1024 * 1024;
/** The region in the signature of a request. */
const REGION = /Credential=[^/]+\/\d+\/([\w-]+)\//;

/**
 * Starts a proxy that adds the region of each request to the name of its table. Its response to DescribeTable lists the
 * replicas.
 * @param behind the endpoint of a `DynamoDbFront`
 */
export async function startRegionalEndpoint(behind: string, regions: readonly string[]): Promise<RegionalEndpoint> {
  const server = createServer((request, response) => {
    forward(behind, regions, request, response).catch(() => response.destroy());
  });
  return { endpoint: `http://127.0.0.1:${await listen(server, 0)}`, close: () => close(server) };
}

async function forward(
  behind: string,
  regions: readonly string[],
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const body = (await readBody(request, MAX_BODY_BYTES)) ?? Buffer.alloc(0);
  const call = JSON.parse(body.toString('utf8')) as { TableName: string };
  const [, region = ''] = REGION.exec(String(request.headers['authorization'])) ?? [];
  const sent = Buffer.from(JSON.stringify({ ...call, TableName: `${call.TableName}.${region}` }));
  const answer = await send(behind, request, sent);
  const isDescription = String(request.headers['x-amz-target']).endsWith('.DescribeTable') && answer.done;
  response
    .writeHead(answer.status, { 'content-type': 'application/x-amz-json-1.0' })
    .end(isDescription ? withReplicas(answer.body, regions) : answer.body);
}

function withReplicas(body: Buffer, regions: readonly string[]): string {
  const { Table } = JSON.parse(body.toString('utf8')) as { Table: object };
  return JSON.stringify({ Table: { ...Table, Replicas: regions.map((RegionName) => ({ RegionName })) } });
}
