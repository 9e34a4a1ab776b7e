import { isUtf8 } from 'node:buffer';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';

/** The routes that are configured in API Gateway. All other requests have the route key `$default`. */
const ROUTES = [
  'POST /v1/partitions/{partition}/{operation}',
  'GET /v1/health',
  'GET /v1/ready',
  'GET /v1/openapi.json',
];
const TEXT_TYPE = /^(?:text\/|application\/(?:[\w.-]+\+)?json|application\/javascript|application\/xml)/;

/**
 * Converts a request to the event of an HTTP API (payload format 2.0). Header names are in lower case.
 * The path is decoded once. A body that is not text is in base64.
 */
export function toEvent(request: IncomingMessage, body: Buffer): APIGatewayProxyEventV2 {
  const { method = 'GET', url = '/' } = request;
  const headers = headersOf(request);
  const [encodedPath = '/', rawQueryString = ''] = url.split(/\?(.*)/s);
  const { routeKey, pathParameters } = matchRoute(method, encodedPath);
  const rawPath = decode(encodedPath);
  // A body that is not UTF-8 must stay base64, because decoding it as text would change its bytes.
  const isText =
    TEXT_TYPE.test(headers['content-type'] ?? '') && headers['content-encoding'] === undefined && isUtf8(body);
  const now = new Date();
  return {
    version: '2.0',
    routeKey,
    rawPath,
    rawQueryString,
    headers,
    requestContext: {
      accountId: 'anonymous',
      apiId: 'local',
      domainName: headers['host'] ?? '127.0.0.1',
      domainPrefix: 'local',
      http: {
        method,
        path: rawPath,
        protocol: `HTTP/${request.httpVersion}`,
        sourceIp: request.socket.remoteAddress ?? '127.0.0.1',
        userAgent: headers['user-agent'] ?? '',
      },
      requestId: randomUUID(),
      routeKey,
      stage: '$default',
      time: now.toUTCString(),
      timeEpoch: now.getTime(),
    },
    ...(pathParameters === undefined ? {} : { pathParameters }),
    ...(body.length === 0 ? {} : { body: body.toString(isText ? 'utf8' : 'base64') }),
    isBase64Encoded: body.length > 0 && !isText,
  };
}

function matchRoute(
  method: string,
  encodedPath: string,
): { routeKey: string; pathParameters?: Record<string, string> } {
  const segments = encodedPath.split('/');
  for (const routeKey of ROUTES) {
    const [routeMethod, path = ''] = routeKey.split(' ');
    const wanted = path.split('/');
    if (routeMethod !== method || wanted.length !== segments.length) continue;
    const parameters: [string, string][] = [];
    const matches = wanted.every((part, i) => {
      const segment = segments[i] ?? '';
      if (!part.startsWith('{')) return part === segment;
      parameters.push([part.slice(1, -1), decode(segment)]);
      return segment !== '';
    });
    if (!matches) continue;
    return parameters.length === 0 ? { routeKey } : { routeKey, pathParameters: Object.fromEntries(parameters) };
  }
  return { routeKey: '$default' };
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** The headers of a request. All values of a repeated header are joined. Node's own `headers` drops some of them. */
function headersOf({ headersDistinct }: IncomingMessage): Record<string, string> {
  return Object.fromEntries(Object.entries(headersDistinct).map(([name, values = []]) => [name, values.join(',')]));
}
