import { Logger } from '@aws-lambda-powertools/logger';
import { Metrics, MetricUnit } from '@aws-lambda-powertools/metrics';
import type { KeyfoldError } from '../envelope/errors.ts';
import type { EnvelopeEvents } from '../envelope/ports.ts';
import type { KmsEvents } from '../kms/aws-kms.ts';

/** What operators see of this service: a log and metrics, in which no plaintext and no key byte ever is. */
export interface Telemetry {
  readonly logger: Logger;
  readonly events: EnvelopeEvents & KmsEvents;
  /** Logs a failed request, with the reasons that its caller is not told. */
  requestFailed(error: KeyfoldError, status: number): void;
}

/** Makes the telemetry of a process. `service` names it in every line. */
export function createTelemetry(service: string): Telemetry {
  const logger = new Logger({ serviceName: service });
  const metrics = new Metrics({ namespace: 'Keyfold', serviceName: service });
  // One line a happening, at once: a buffer would hold one request's until another's end.
  const count = (name: string, dimensions: Record<string, string>): void => {
    const metric = metrics.singleMetric();
    metric.addDimensions(dimensions);
    metric.addMetric(name, MetricUnit.Count, 1);
  };
  return {
    logger,
    events: {
      keyCreated: (kind, key) => {
        logger.info('key created', { kind, keyId: key.id, created: key.created });
        count('KeysCreated', { kind });
      },
      regionFailed: (fault) => {
        const { region, action, faultClass, errorName } = fault;
        const mustAct = faultClass === 'misconfigured' || faultClass === 'corrupt';
        logger[mustAct ? 'error' : 'warn']('KMS region failed', {
          region,
          action,
          faultClass,
          errorName,
          reason: fault.message,
        });
        count('KmsRegionFailures', { region, faultClass });
      },
      wrapMissing: (region) => {
        logger.error('a System Key was made that this region cannot open', { region });
        count('KmsWrapsMissing', { region });
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
  };
}

/** The messages of an error's causes. Of an error that is not ours only its name and where it arose: its text may quote data. */
function reasonsOf(error: KeyfoldError): string[] {
  const reasons: string[] = [];
  for (let cause: unknown = error.cause; cause instanceof Error; cause = cause.cause) {
    if (error.code !== 'Internal') reasons.push(cause.message);
    else reasons.push(`${cause.name}${framesOf(cause)}`);
  }
  return reasons;
}

function framesOf(error: Error): string {
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return frames
    .slice(0, 8)
    .map((line) => ` ${line.trim()}`)
    .join('');
}
