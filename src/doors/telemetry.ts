import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { Context } from 'aws-lambda';
import { KeyfoldError } from '../errors.ts';
import { escapeHidden } from '../input/hidden-characters.ts';
import type { EnvelopeEvents } from '../envelope/ports.ts';
import type { MaintenanceReport } from '../maintenance/system-key-maintenance.ts';
import type { KmsEvents } from '../kms/failover.ts';
import type { MetastoreEvents } from '../metastore/dynamodb-metastore.ts';
import type { AuditLog } from './audit.ts';
import { MetricBuffer } from './metric-buffer.ts';
import { statusOf } from './problem.ts';
import type { MessageOutcome } from './message-outcome.ts';

/** The log and the metrics of a door. They never contain plaintext or key bytes. */
export interface Telemetry extends AuditLog {
  readonly events: EnvelopeEvents & KmsEvents & MetastoreEvents;
  /** Adds the invocation to all following log lines. Its event is never logged, because it may contain plaintext. */
  begin(invocation: Context): void;
  /**
   * Logs a failed request, including internal causes that the caller does not see.
   * @param status the HTTP status of the error
   */
  requestFailed(error: KeyfoldError, status: number): void;
  /** Logs all failed items of a batch in one line. */
  itemsFailed(errors: readonly KeyfoldError[]): void;
  /**
   * Logs the failed messages of a queue event, one line per outcome and error code. Also counts the messages that are
   * done.
   * @param unhidden an error name for each message whose redelivery could not be delayed
   */
  messagesHandled(outcomes: readonly MessageOutcome[], unhidden: readonly string[]): void;
  /** Logs why the System Key could not be loaded before the first request. */
  preloadFailed(error: KeyfoldError): void;
  /** Logs the report of a maintenance run. */
  maintained(report: MaintenanceReport): void;
  /** Writes the metrics since the last flush. Doors call it at the end of every invocation. */
  flush(): void;
}

/**
 * Creates the telemetry of a process. docs/reference/metrics.md lists the metrics.
 * @param service the name of the service in every log line and metric
 */
export function createTelemetry(service: string): Telemetry {
  const logger = new Logger({ serviceName: service, jsonReplacerFn: withoutHidden });
  const metrics = new MetricBuffer(new Metrics({ namespace: 'Keyfold', serviceName: service }));
  const count = (name: string, dimensions: Record<string, string>): void =>
    metrics.add(name, MetricUnit.Count, 1, dimensions);
  const isSilent = logger.getLevelName() === 'SILENT';
  return {
    begin: (invocation) => logger.addContext(invocation),
    audited: (entry) => {
      if (isSilent) return;
      // Every request waits for its audit line, and Powertools' logger takes ten times as long as this.
      const line = { level: 'INFO', message: 'audit', timestamp: new Date().toISOString(), service, ...entry };
      process.stdout.write(`${escapeHidden(JSON.stringify(line))}\n`);
    },
    events: {
      keyCreated: (kind, key) => {
        logger.info('key created', { kind, keyId: key.id, created: key.created });
        count('KeysCreated', { kind });
      },
      keyRetired: (kind, key, why) => {
        logger.info('key retired', { kind, keyId: key.id, created: key.created, why });
        count('KeysRetired', { kind, why });
      },
      cacheUsed: (kind, outcome) => metrics.tally(CACHE_METRICS[kind][outcome]),
      servedStale: (key) => {
        logger.warn('a key goes on serving while the metastore is down', { keyId: key.id, created: key.created });
        count('StaleServes', {});
      },
      attempted: ({ region, action, latencyMs, fault }) => {
        metrics.add('KmsLatency', MetricUnit.Milliseconds, latencyMs, { region });
        count('KmsCalls', { region, action });
        if (fault === undefined) return;
        const { faultClass, errorName, message: reason } = fault;
        const isPersistent = faultClass === 'misconfigured' || faultClass === 'corrupt';
        logger[isPersistent ? 'error' : 'warn']('KMS region failed', { region, action, faultClass, errorName, reason });
        count('KmsRegionFailures', { region, faultClass });
      },
      coolingDown: (region, coolDownMs) => {
        logger.warn('KMS region is asked last for a while', { region, coolDownMs });
        count('KmsCoolDowns', { region });
      },
      failedOver: (region) => count('KmsFailovers', { region }),
      wrapMissing: (region) => {
        logger.error('a System Key was wrapped without this region, which cannot open it', { region });
        count('KmsWrapsMissing', { region });
      },
      metastoreCalled: (action, latencyMs, errorName) => {
        metrics.add('MetastoreLatency', MetricUnit.Milliseconds, latencyMs, { action });
        if (errorName !== undefined) count('MetastoreFailures', { action });
      },
    },
    requestFailed: (error, status) => {
      const { code, message: detail, retryable } = error;
      logger[status < 500 ? 'warn' : 'error']('request failed', {
        code,
        status,
        retryable,
        detail,
        reasons: reasonsOf(error),
      });
      count('RequestErrors', { code });
    },
    itemsFailed: (errors) => {
      const codes: Record<string, number> = {};
      for (const { code } of errors) {
        codes[code] = (codes[code] ?? 0) + 1;
        count('RequestErrors', { code });
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
    maintained: ({ systemKeys, created, createFault }) => {
      for (const { regions, ...key } of systemKeys) {
        const isAhead = key.state === 'dated-ahead';
        const opensEverywhere = regions.every(({ opens, fault }) => opens && fault === undefined);
        const isHealthy = key.fault === undefined && !isAhead && opensEverywhere;
        logger[isHealthy ? 'info' : 'error']('System Key maintained', { ...key, regions });
        if (key.fault !== undefined) count('SystemKeysNotMaintained', {});
        if (isAhead) count('SystemKeysDatedAhead', {});
        for (const { region, opens, renewed } of regions) {
          if (!opens) count('SystemKeysUnopenable', { region });
          if (renewed) count('WrapsRenewed', { region });
        }
      }
      const latest =
        created?.created ?? systemKeys.find((key) => key.created !== undefined && key.state !== 'dated-ahead')?.created;
      if (latest !== undefined) {
        const ageSeconds = Math.max(0, Math.round(Date.now() / 1000 - latest));
        metrics.add('SystemKeyAge', MetricUnit.Seconds, ageSeconds, {});
      }
      if (created !== undefined) logger.info('the next System Key was made ahead', { ...created });
      if (createFault !== undefined) {
        logger.error('the next System Key could not be made ahead', { createFault });
        count('SystemKeysNotCreated', {});
      }
    },
    flush: () => metrics.flush(),
  };
}

/** A function of JSON in Node 24 that TypeScript's types lack (ECMA-262, JSON.parse source text access). */
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };

/**
 * A `JSON.stringify` replacer that escapes hidden characters. By itself `JSON.stringify` escapes only those below
 * U+0020.
 */
function withoutHidden(_name: string, value: unknown): unknown {
  if (typeof value !== 'string' || escapeHidden(value) === value) return value;
  return rawJSON(escapeHidden(JSON.stringify(value)));
}

/** The most details, reasons or message ids in one log line. */
const MAX_LISTED = 10;

const MESSAGE_METRICS = {
  done: 'MessagesDone',
  retried: 'MessagesRetried',
  'dead-lettered': 'MessagesDeadLettered',
} as const;

const CACHE_METRICS = {
  system: { hit: 'SystemKeyCacheHits', miss: 'SystemKeyCacheMisses', eviction: 'SystemKeyCacheEvictions' },
  intermediate: {
    hit: 'IntermediateKeyCacheHits',
    miss: 'IntermediateKeyCacheMisses',
    eviction: 'IntermediateKeyCacheEvictions',
  },
} as const;

/** Returns the first {@link MAX_LISTED} distinct texts. */
function someOf(texts: readonly string[]): string[] {
  return [...new Set(texts)].slice(0, MAX_LISTED);
}

/** Whether an error persists until an operator acts, which is true of codes with HTTP status 500. */
function needsOperator(error: Error): boolean {
  return error instanceof KeyfoldError && statusOf(error.code) === 500;
}

/**
 * The messages of an error's causes. Causes of `Internal` are reduced to a name and stack frames: their text may quote
 * data.
 */
function reasonsOf(error: KeyfoldError): string[] {
  const reasons: string[] = [];
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    if (error.code !== 'Internal') reasons.push(cause.message);
    else reasons.push(`${cause.name}${framesOf(cause)}`);
  }
  return reasons;
}

function framesOf(error: Error): string {
  // The message is removed first, because its lines may look like stack frames.
  const frames = (error.stack ?? '')
    .replace(error.message, '')
    .split('\n')
    .filter((line) => /^\s+at /.test(line));
  return frames
    .slice(0, 8)
    .map((line) => ` ${line.trim()}`)
    .join('');
}
