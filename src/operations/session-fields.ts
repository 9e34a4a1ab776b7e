import { checkLimits, type RequestLimits } from '../async/deadline.ts';
import type { Session } from '../envelope/session.ts';
import { KeyfoldError } from '../errors.ts';
import { check, optionsOf } from '../input/checks.ts';
import { decryptFields as decryptOperation } from './decrypt-fields.ts';
import { encryptFields as encryptOperation } from './encrypt-fields.ts';
import {
  DECRYPT_FIELDS,
  ENCRYPT_FIELDS,
  INEXACT,
  inexactnessOf,
  lossless,
  requestMembers,
  type DocumentOf,
  type FieldRequest,
  type FieldsToDecrypt,
  type FieldsToEncrypt,
  type GivenDocument,
} from './fields-request.ts';
import type { Operation } from './operation.ts';
import { SESSION } from './session-batch.ts';

/** A caller in the same process has no limits, because they may encrypt as much as fits into their memory. */
const NO_LIMITS = { plaintextLimitBytes: Infinity, maxItems: Infinity, answerFits: () => true };
const NO_CALLBACKS = { itemsCounted: () => {}, itemsFailed: () => {} };

/**
 * Encrypts values of a document and replaces each with its compact record. The rest of the document stays as it is.
 * @param request the document, and the JSONPaths of its values to encrypt
 * @returns a JavaScript value if `document` was given, JSON text if `documentText` was given
 * @throws TypeError, before any key is touched, that names an argument of the wrong type
 * @throws TypeError if the session has a context. Pass it as `request.context`, which binds each field to its path.
 * @throws KeyfoldError `InvalidRequest` for a malformed path, and for a document that is not JSON, is nested deeper
 * than 100, or has more than 100,000 values
 * @throws KeyfoldError `FieldNotFound` if a path selects nothing, unless `allowMissing` is set
 * @throws KeyfoldError if no key to encrypt with can be loaded or made
 * @example
 * const session = keyfold.session('tenant-1');
 * const order = { id: 7, card: '4111111111111111' };
 * const sealed = await encryptFields(session, { document: order, fields: ['$.card'] });
 * const opened = await decryptFields(session, { document: sealed, all: true });
 */
export async function encryptFields<Given extends GivenDocument>(
  session: Session,
  request: Given & FieldsToEncrypt,
  limits: RequestLimits = {},
): Promise<DocumentOf<Given>> {
  return run(encryptOperation, session, () => optionsOf(request, 'request', ENCRYPT_FIELDS), limits);
}

/**
 * Decrypts values of a document and replaces each compact record with its value. It is the reverse of
 * {@link encryptFields}.
 * @param request the document, and the JSONPaths of its values to decrypt, or `all: true` for every compact record
 * @returns a JavaScript value if `document` was given, JSON text if `documentText` was given
 * @throws TypeError, before any key is touched, that names an argument of the wrong type
 * @throws TypeError if the session has a context. Pass it as `request.context`, which binds each field to its path.
 * @throws KeyfoldError `RecordUnreadable` if a record belongs to another partition, was changed, or names a key that is
 * absent
 * @throws KeyfoldError `InvalidRequest` as in {@link encryptFields}, for a selected value that is not a compact record,
 * and for a decrypted number that JavaScript cannot represent exactly. Pass `documentText` in that case.
 * @example
 * const text = await decryptFields(session, { documentText: '{"id":7,"card":"kf1j.…"}', fields: ['$.card'] });
 */
export async function decryptFields<Given extends GivenDocument>(
  session: Session,
  request: Given & FieldsToDecrypt,
  limits: RequestLimits = {},
): Promise<DocumentOf<Given>> {
  return run(decryptOperation, session, () => optionsOf(request, 'request', DECRYPT_FIELDS), limits);
}

async function run<Given extends GivenDocument>(
  operation: Operation,
  session: Session,
  checked: () => FieldRequest,
  limits: RequestLimits,
): Promise<DocumentOf<Given>> {
  check(session, 'session', SESSION);
  if (session.hasContext) throw new TypeError('session must have no context: pass request.context instead.');
  const request = checked();
  const value = requestMembers(request, textOf);
  checkLimits(limits);
  // Operations read the JSON text of a request only if it has a `document`, and this request has a `documentText`.
  const answer = await operation({ value, text: () => '' }, { session, limits, ...NO_LIMITS, ...NO_CALLBACKS });
  const { documentText } = JSON.parse(answer) as { readonly documentText: string };
  return (request.documentText === undefined ? documentOf(documentText) : documentText) as DocumentOf<Given>;
}

function textOf(document: unknown): string | undefined {
  try {
    return JSON.stringify(document, lossless);
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw new TypeError('request.document has no JSON form.', { cause });
    // JSON.stringify is recursive: a RangeError means that the stack overflowed.
    throw new KeyfoldError('InvalidRequest', 'The document is nested too deeply.');
  }
}

function documentOf(text: string): unknown {
  const document: unknown = JSON.parse(text);
  const fault = inexactnessOf(text, document);
  if (fault === undefined) return document;
  throw new KeyfoldError('InvalidRequest', INEXACT[fault]);
}
