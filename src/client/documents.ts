import { INEXACT, inexactnessOf } from '../operations/fields-request.ts';
import { KeyfoldTransportError } from './errors.ts';

/**
 * Parses a document's JSON text into a JavaScript value. Fractions are rounded to the nearest JavaScript number.
 * @throws KeyfoldTransportError `UnexpectedAnswer` if the text is not JSON
 * @throws KeyfoldTransportError `InexactNumber` or `InexactName` if the value may differ from the text
 */
export function documentOf(text: string, requestId: string | undefined): unknown {
  let document: unknown;
  try {
    document = JSON.parse(text);
  } catch {
    throw new KeyfoldTransportError('UnexpectedAnswer', 'The document is not JSON.', { requestId });
  }
  const fault = inexactnessOf(text, document);
  if (fault === undefined) return document;
  throw new KeyfoldTransportError(fault, INEXACT[fault], { requestId });
}
