import { problemResponse, statusOf } from '../../src/doors/problem.ts';
import { isRetryable, KeyfoldError, type ErrorCode } from '../../src/errors.ts';
import { describeCodes } from './codes.ts';
import { refTo } from './schemas.ts';

/** A part of the document. */
export type Part = Readonly<Record<string, unknown>>;

/** The responses that API Gateway itself sends, without calling the function. */
const GATEWAY: Readonly<Record<number, string>> = {
  401: 'Unauthorized',
  403: 'Forbidden',
  413: 'Request Entity Too Large',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Every request to the function can end with one of these errors. */
const OF_ANY: readonly ErrorCode[] = ['Unauthenticated', 'Internal'];

/** Forbids every cache to store a response. */
export const NO_STORE = { 'Cache-Control': { $ref: '#/components/headers/Cache-Control' } };

/** The headers that responses refer to. */
export const HEADERS: Part = {
  'Cache-Control': { description: 'No answer is kept.', schema: { type: 'string', const: 'no-store' } },
  Accept: { description: 'The type of a body.', schema: { type: 'string', const: 'application/json' } },
  'Accept-Encoding': { description: 'The encoding of a body: none.', schema: { type: 'string', const: 'identity' } },
  'Retry-After': { description: 'As retryAfterSeconds.', schema: { type: 'integer', minimum: 1, maximum: 5 } },
};

/** The responses of a document. Each is described once, and the operations refer to it. */
export class Responses {
  /** The descriptions, keyed by name, for the `components` of the document. */
  readonly described: Record<string, Part> = {};

  /** The error responses of an operation, by status. */
  ofFailures(codes: readonly ErrorCode[]): Part {
    const all = [...OF_ANY, ...codes];
    const statuses = new Set([...all.map(statusOf), ...Object.keys(GATEWAY).map(Number)]);
    const applicable = [...statuses].filter((status) => status !== 413 || codes.includes('PayloadTooLarge'));
    const responses = applicable.map((status) => [
      status,
      this.#refTo(
        status,
        all.filter((code) => statusOf(code) === status),
      ),
    ]);
    return Object.fromEntries(responses) as Part;
  }

  #refTo(status: number, codes: readonly ErrorCode[]): Part {
    const name = codes.join('-') || `Gateway-${status}`;
    this.described[name] ??= describe(status, codes);
    return { $ref: `#/components/responses/${name}` };
  }
}

function describe(status: number, codes: readonly ErrorCode[]): Part {
  const message = GATEWAY[status];
  const ofGateway = message === undefined ? [] : [`API Gateway itself answers {"message":"${message}"}.`];
  const lines = [...(codes.length > 0 ? [describeCodes(codes)] : []), ...ofGateway];
  return {
    description: lines.join('\n'),
    ...(codes.length > 0 && { headers: headersOf(codes) }),
    content: {
      ...(codes.length > 0 && {
        'application/problem+json': { schema: refTo('Problem'), example: exampleOf(codes) },
      }),
      ...(message !== undefined && { 'application/json': { schema: refTo('Problem'), example: { message } } }),
    },
  };
}

/** The headers of an error response. They are optional, because API Gateway's own responses do not have them. */
function headersOf(codes: readonly ErrorCode[]): Part {
  return {
    ...NO_STORE,
    ...(codes.includes('UnsupportedMediaType') && {
      Accept: { $ref: '#/components/headers/Accept' },
      'Accept-Encoding': { $ref: '#/components/headers/Accept-Encoding' },
    }),
    ...(codes.some(isRetryable) && { 'Retry-After': { $ref: '#/components/headers/Retry-After' } }),
  };
}

function exampleOf([first = 'Internal']: readonly ErrorCode[]): Part {
  const error = new KeyfoldError(first, 'What is wrong, in a sentence.');
  const { body } = problemResponse(error, 'JKJaXmPLvHcESHA=');
  // The service chooses a random delay, but the document needs a fixed value.
  return { ...(JSON.parse(body) as Part), ...(error.retryable && { retryAfterSeconds: 2 }) };
}
