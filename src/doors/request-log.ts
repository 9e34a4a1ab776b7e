import type { Logger } from '@aws-lambda-powertools/logger';
import { MetricUnit } from '@aws-lambda-powertools/metrics';
import { KeyfoldError } from '../errors.ts';
import type { MessageOutcome } from './message-outcome.ts';
import type { MetricBuffer } from './metric-buffer.ts';
import { statusOf } from './problem.ts';

/** The log of requests and messages. It never contains plaintext or key bytes. */
export interface RequestLog {
  /** Logs and counts a failed request, including internal causes that the caller does not see. */
  requestFailed(error: KeyfoldError): void;
  /** Logs all failed items of a batch in one line. */
  itemsFailed(errors: readonly KeyfoldError[]): void;
  /**
   * Counts the messages of a queue event by outcome and error code, and logs the failed ones: one line for each pair.
   * @param unhidden the name of the error for each message that SQS refused to delay
   */
  messagesHandled(outcomes: readonly MessageOutcome[], unhidden: readonly string[]): void;
  /** Logs why the System Key could not be loaded before the first request. */
  preloadFailed(error: KeyfoldError): void;
}

/** The most details, reasons or message ids in one log line. */
const MAX_LISTED = 10;

const MESSAGE_METRICS = {
  done: 'MessagesDone',
  retried: 'MessagesRetried',
  'dead-lettered': 'MessagesDeadLettered',
} as const;

/** Logs and counts requests and messages. */
export function requestLog(logger: Logger, metrics: MetricBuffer): RequestLog {
  return {
    requestFailed: (error) => {
      const { code, message: detail, retryable } = error;
      const status = statusOf(code);
      logger[status < 500 ? 'warn' : 'error']('request failed', {
        code,
        status,
        retryable,
        detail,
        reasons: reasonsOf(error),
      });
      metrics.count('RequestErrors', { code });
    },
    itemsFailed: (errors) => {
      const codes: Record<string, number> = {};
      for (const { code } of errors) {
        codes[code] = (codes[code] ?? 0) + 1;
        metrics.count('RequestErrors', { code });
      }
      const isServerFault = errors.some(({ code }) => statusOf(code) >= 500);
      logger[isServerFault ? 'error' : 'warn']('items of a batch failed', {
        codes,
        reasons: someOf(errors.flatMap(reasonsOf)),
      });
    },
    messagesHandled: (outcomes, unhidden) => {
      for (const alike of Map.groupBy(outcomes, ({ kind, code }) => `${kind} ${code}`).values()) {
        const { kind, code } = alike[0] as MessageOutcome;
        const all = { code, count: alike.length };
        metrics.add(MESSAGE_METRICS[kind], MetricUnit.Count, all.count, code === undefined ? {} : { code });
        if (kind === 'done') continue;
        const errors = alike.flatMap(({ error }) => error ?? []);
        logger[errors.some(needsOperator) ? 'error' : 'warn'](`messages ${kind}`, {
          ...all,
          details: someOf(errors.map(({ message }) => message)),
          reasons: someOf(errors.flatMap((error) => (error instanceof KeyfoldError ? reasonsOf(error) : []))),
          messageIds: someOf(alike.map(({ messageId }) => messageId)),
        });
      }
      if (unhidden.length === 0) return;
      logger.warn('messages may come back too early', { count: unhidden.length, errorNames: someOf(unhidden) });
    },
    preloadFailed: (error) => {
      const { code, message: detail } = error;
      logger.warn('the System Key was not preloaded', { code, detail, reasons: reasonsOf(error) });
    },
  };
}

/** Returns the first {@link MAX_LISTED} different strings. */
function someOf(texts: readonly string[]): string[] {
  return [...new Set(texts)].slice(0, MAX_LISTED);
}

/** Whether an error lasts until an operator acts. Every error whose HTTP status is 500 does. */
function needsOperator(error: Error): boolean {
  return error instanceof KeyfoldError && statusOf(error.code) === 500;
}

/**
 * The messages of an error's causes, at most {@link MAX_LISTED}. For `Internal`, only the name and the stack frames of
 * a cause are kept, because its text may quote data.
 */
function reasonsOf(error: KeyfoldError): string[] {
  const reasons: string[] = [];
  let isInternal = error.code === 'Internal';
  // An error may be its own cause.
  for (let cause = error.cause; cause instanceof Error && reasons.length < MAX_LISTED; cause = cause.cause) {
    reasons.push(isInternal ? `${cause.name}${framesOf(cause)}` : cause.message);
    isInternal ||= cause instanceof KeyfoldError && cause.code === 'Internal';
  }
  return reasons;
}

function framesOf(error: Error): string {
  // Remove the message first, because its lines may look like stack frames.
  const frames = (error.stack ?? '').replace(error.message, '').match(/\n +at .*/g) ?? [];
  return frames
    .slice(0, 8)
    .map((line) => ` ${line.trim()}`)
    .join('');
}
