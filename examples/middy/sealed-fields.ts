import type { MiddlewareObj } from '@middy/core';
import { decryptFields, encryptFields, type RecordContext, type Session } from 'keyfold';

/**
 * The options of {@link sealedFields}. `session` and `context` may read only those values of the event that are not
 * sealed.
 */
export interface SealedFieldsOptions<Event> {
  /** The session of the tenant that an event belongs to. */
  readonly session: (event: Event) => Session;
  /**
   * The context that binds values to their place. Callers use the same context to seal the event and open the result.
   */
  readonly context: (event: Event) => RecordContext;
  /** JSONPaths of the values in the event that are opened before the handler runs. */
  readonly open: readonly string[];
  /** JSONPaths of the values in the result that are sealed after the handler has run. */
  readonly seal: readonly string[];
}

/**
 * A middy middleware. The handler gets the event with opened values, and callers get its result with sealed values. A
 * path that selects nothing is an error, because a mistyped path would leave a value in the clear.
 */
export function sealedFields<Event extends object, Result extends object>({
  session,
  context,
  open,
  seal,
}: SealedFieldsOptions<Event>): MiddlewareObj<Event, Result> {
  return {
    before: async (request) => {
      const { event } = request;
      const selection = { document: event, fields: open, context: context(event) };
      request.event = (await decryptFields(session(event), selection)) as Event;
    },
    after: async (request) => {
      const { event, response } = request;
      if (response === null || response === undefined) return;
      const selection = { document: response, fields: seal, context: context(event) };
      request.response = (await encryptFields(session(event), selection)) as Result;
    },
  };
}
