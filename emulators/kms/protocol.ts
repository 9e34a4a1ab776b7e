import { randomUUID } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { readBody } from '../http-body.ts';
import { KMS_ACTIONS } from './actions.ts';
import { KmsApiError } from './api-error.ts';
import type { Fault } from './faults.ts';
import { Input } from './input.ts';
import { KEY_ACTIONS } from './key-actions.ts';
import type { KeyStore, Place } from './key-store.ts';
import type { Regions } from './regions.ts';

const TARGET = /^TrentService\.(\w+)$/;
const CREDENTIAL = /Credential=([^/,\s]+)\/\d{8}\/([a-z0-9-]+)\/kms\/aws4_request/;
const DEFAULT_ACCOUNT = '111122223333';
const MAX_BODY_BYTES = 64 * 1024;

/**
 * Responds to a call in the JSON protocol of KMS. The credential scope of the signature names the region. If the access
 * key ID consists of twelve digits, it names the account. The signature itself is not checked.
 */
export async function answerKms(
  store: KeyStore,
  regions: Regions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  response.setHeader('x-amzn-requestid', randomUUID());
  const bytes = await readBody(request, MAX_BODY_BYTES);
  if (bytes === undefined) {
    response.setHeader('connection', 'close');
    sendError(response, new KmsApiError('RequestEntityTooLargeException', 'The request is too long', 413));
    return;
  }
  const target = String(request.headers['x-amz-target'] ?? '');
  const action = TARGET.exec(target)?.[1] ?? '';
  const place = placeOf(request);
  if (place === undefined) {
    sendError(
      response,
      new KmsApiError('MissingAuthenticationTokenException', 'Request is missing Authentication Token'),
    );
    return;
  }
  const note = (outcome: string): void =>
    regions.note({ region: place.region, action, keyId: keyIdOf(bytes), outcome });
  const fault = regions.faultForCall(place.region, action);
  if (fault?.kind === 'latency') {
    await delay(fault.ms, response).catch((error: unknown) => {
      note(fault.kind);
      throw error;
    });
  } else if (fault !== undefined) {
    note(fault.kind === 'error' ? fault.name : fault.kind);
    applyFault(fault, request, response);
    return;
  }
  try {
    const answer = perform(store, place, action, bytes);
    if (action in KEY_ACTIONS) await store.save();
    note('ok');
    send(response, 200, answer);
  } catch (error) {
    if (!(error instanceof KmsApiError)) console.error(error);
    const answered =
      error instanceof KmsApiError ? error : new KmsApiError('KMSInternalException', 'The emulator failed', 500);
    note(answered.type);
    sendError(response, answered);
  }
}

function perform(store: KeyStore, place: Place, action: string, body: Buffer): object {
  const known = Object.hasOwn(KMS_ACTIONS, action) ? KMS_ACTIONS[action] : undefined;
  if (known === undefined) throw new KmsApiError('UnknownOperationException', `The action '${action}' is not emulated`);
  return known.perform(store, place, new Input(body, known.members));
}

/** Ends a call, or leaves it open, as its fault requires. Does not perform the action. */
function applyFault(
  fault: Exclude<Fault, { kind: 'latency' }>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  switch (fault.kind) {
    case 'down':
      request.socket.destroy();
      break;
    case 'hang':
      break;
    case 'reset':
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1', 'content-length': '1000' });
      response.write('{"KeyId":', () => request.socket.destroy());
      break;
    case 'garbage':
      response.writeHead(200, { 'content-type': 'application/x-amz-json-1.1' }).end('<html>not KMS</html>');
      break;
    case 'throttle':
      sendError(response, new KmsApiError('ThrottlingException', 'Rate exceeded'));
      break;
    case 'error':
      sendError(response, new KmsApiError(fault.name, fault.message, fault.status));
      break;
  }
}

/** Waits for `ms` milliseconds. @throws AbortError if the client disconnects, so that the call is not performed */
async function delay(ms: number, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  const abort = (): void => gone.abort();
  response.once('close', abort);
  await setTimeout(ms, undefined, { signal: gone.signal });
  response.off('close', abort);
}

function placeOf(request: IncomingMessage): Place | undefined {
  const [, accessKeyId = '', region] = CREDENTIAL.exec(request.headers.authorization ?? '') ?? [];
  if (region === undefined) return undefined;
  return { region, account: /^\d{12}$/.test(accessKeyId) ? accessKeyId : DEFAULT_ACCOUNT };
}

function keyIdOf(body: Buffer): string | undefined {
  return /"(?:KeyId|TargetKeyId)"\s*:\s*"([^"]*)"/.exec(body.toString())?.[1];
}

function sendError(response: ServerResponse, error: KmsApiError): void {
  send(response, error.status, { __type: error.type, message: error.message });
}

function send(response: ServerResponse, status: number, answer: object): void {
  response.writeHead(status, { 'content-type': 'application/x-amz-json-1.1' });
  response.end(JSON.stringify(answer));
}
