import type { Logger } from '@aws-lambda-powertools/logger';
import { MetricUnit } from '@aws-lambda-powertools/metrics';
import type { EnvelopeEvents } from '../envelope/ports.ts';
import type { KmsEvents } from '../kms/failover.ts';
import type { MetastoreEvents } from '../metastore/dynamodb-metastore.ts';
import type { MetricBuffer } from './metric-buffer.ts';

/** The events of the key lifecycle, of KMS and of the metastore. */
export type CoreEvents = EnvelopeEvents & KmsEvents & MetastoreEvents;

const CACHE_METRICS = {
  system: { hit: 'SystemKeyCacheHits', miss: 'SystemKeyCacheMisses', eviction: 'SystemKeyCacheEvictions' },
  intermediate: {
    hit: 'IntermediateKeyCacheHits',
    miss: 'IntermediateKeyCacheMisses',
    eviction: 'IntermediateKeyCacheEvictions',
  },
} as const;

/** Logs and counts the events of the core. */
export function coreEvents(logger: Logger, metrics: MetricBuffer): CoreEvents {
  return {
    keyCreated: (kind, key) => {
      logger.info('key created', { kind, keyId: key.id, created: key.created });
      metrics.count('KeysCreated', { kind });
    },
    keyRetired: (kind, key, why) => {
      logger.info('key retired', { kind, keyId: key.id, created: key.created, why });
      metrics.count('KeysRetired', { kind, why });
    },
    cacheUsed: (kind, outcome) => metrics.tally(CACHE_METRICS[kind][outcome]),
    servedStale: (key) => {
      logger.warn('a key goes on serving while the metastore is down', { keyId: key.id, created: key.created });
      metrics.count('StaleServes', {});
    },
    markIgnored: (key) => {
      logger.error('a mark of an erasure is ignored', { keyId: key.id, created: key.created });
      metrics.count('ErasureMarksIgnored', {});
    },
    openedUnbound: () => metrics.count('UnboundOpened', {}),
    attempted: ({ region, action, latencyMs, fault }) => {
      metrics.add('KmsLatency', MetricUnit.Milliseconds, latencyMs, { region });
      metrics.count('KmsCalls', { region, action });
      if (fault === undefined) return;
      const { faultClass, errorName, message: reason } = fault;
      const isPersistent = faultClass === 'misconfigured' || faultClass === 'corrupt';
      logger[isPersistent ? 'error' : 'warn']('KMS region failed', { region, action, faultClass, errorName, reason });
      metrics.count('KmsRegionFailures', { region, faultClass });
    },
    coolingDown: (region, coolDownMs) => {
      logger.warn('KMS region is asked last for a while', { region, coolDownMs });
      metrics.count('KmsCoolDowns', { region });
    },
    failedOver: (region) => metrics.count('KmsFailovers', { region }),
    wrapMissing: (region) => {
      logger.error('a System Key was wrapped without this region, which cannot open it', { region });
      metrics.count('KmsWrapsMissing', { region });
    },
    metastoreCalled: (action, latencyMs, errorName) => {
      metrics.add('MetastoreLatency', MetricUnit.Milliseconds, latencyMs, { action });
      if (errorName !== undefined) metrics.count('MetastoreFailures', { action });
    },
  };
}
