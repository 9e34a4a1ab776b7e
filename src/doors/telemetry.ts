import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics } from '@aws-lambda-powertools/metrics';
import { escapeHidden } from '../input/hidden-characters.ts';
import type { AuditLog } from './audit.ts';
import { coreEvents, type CoreEvents } from './core-events.ts';
import type { InvocationLog } from './handler.ts';
import { maintenanceLog, type MaintenanceLog } from './maintenance-log.ts';
import { MetricBuffer } from './metric-buffer.ts';
import { requestLog, type RequestLog } from './request-log.ts';

/** The log and the metrics of a process. They never contain plaintext or key bytes. */
export interface Telemetry extends AuditLog, InvocationLog, RequestLog {
  readonly events: CoreEvents;
}

/** The telemetry of the function that runs maintenance. */
export interface MaintenanceTelemetry extends Telemetry, MaintenanceLog {}

interface Outputs {
  readonly logger: Logger;
  readonly metrics: MetricBuffer;
}

/**
 * Creates the telemetry of a process. docs/reference/metrics.md lists the metrics.
 * @param service the name of the service in every log line and metric
 */
export function createTelemetry(service: string): Telemetry {
  return telemetryOf(service, openOutputs(service));
}

/** Creates the telemetry of a process that runs maintenance. The other functions do not load this code. */
export function createMaintenanceTelemetry(service: string): MaintenanceTelemetry {
  const outputs = openOutputs(service);
  return { ...telemetryOf(service, outputs), ...maintenanceLog(outputs.logger, outputs.metrics) };
}

function openOutputs(service: string): Outputs {
  return {
    logger: new Logger({ serviceName: service, jsonReplacerFn: withoutHidden }),
    metrics: new MetricBuffer(new Metrics({ namespace: 'Keyfold', serviceName: service })),
  };
}

function telemetryOf(service: string, { logger, metrics }: Outputs): Telemetry {
  const isSilent = logger.getLevelName() === 'SILENT';
  return {
    ...requestLog(logger, metrics),
    events: coreEvents(logger, metrics),
    begin: (invocation) => logger.addContext(invocation),
    audited: (entry) => {
      if (isSilent) return;
      // Bypass the Powertools logger: every request waits for its audit line, and the logger would take ten times as
      // long.
      const line = { level: 'INFO', message: 'audit', timestamp: new Date().toISOString(), service, ...entry };
      process.stdout.write(`${escapeHidden(JSON.stringify(line))}\n`);
    },
    flush: () => metrics.flush(),
  };
}

/** A function of JSON in Node 24 that TypeScript's types lack (ECMA-262, JSON.parse source text access). */
const { rawJSON } = JSON as unknown as { rawJSON: (text: string) => unknown };

/**
 * A replacer for `JSON.stringify` that escapes hidden characters. By itself, `JSON.stringify` escapes only characters
 * below U+0020.
 */
function withoutHidden(_name: string, value: unknown): unknown {
  if (typeof value !== 'string' || escapeHidden(value) === value) return value;
  return rawJSON(escapeHidden(JSON.stringify(value)));
}
