import type { Logger } from '@aws-lambda-powertools/logger';
import { MetricUnit } from '@aws-lambda-powertools/metrics';
import type { MaintenanceReport } from '../maintenance/system-key-maintenance.ts';
import type { MetricBuffer } from './metric-buffer.ts';

/** The log of System Key maintenance. */
export interface MaintenanceLog {
  /** Logs the report of a maintenance run, and counts the results that need an operator. */
  maintained(report: MaintenanceReport): void;
}

/** Logs and counts the results of maintenance. */
export function maintenanceLog(logger: Logger, metrics: MetricBuffer): MaintenanceLog {
  return {
    maintained: ({ systemKeys, created, createFault, erasuresDue = [], erasuresFault }) => {
      for (const { regions, ...key } of systemKeys) {
        const isAhead = key.state === 'dated-ahead';
        const opensEverywhere = regions.every(({ opens, fault }) => opens && fault === undefined);
        const isHealthy = key.fault === undefined && !isAhead && opensEverywhere;
        logger[isHealthy ? 'info' : 'error']('System Key maintained', { ...key, regions });
        if (key.fault !== undefined) metrics.count('SystemKeysNotMaintained', {});
        if (isAhead) metrics.count('SystemKeysDatedAhead', {});
        for (const { region, opens, renewed } of regions) {
          if (!opens) metrics.count('SystemKeysUnopenable', { region });
          if (renewed) metrics.count('WrapsRenewed', { region });
        }
      }
      const latest =
        created?.created ?? systemKeys.find((key) => key.created !== undefined && key.state !== 'dated-ahead')?.created;
      if (latest !== undefined) {
        const ageSeconds = Math.max(0, Math.round(Date.now() / 1000 - latest));
        metrics.add('SystemKeyAge', MetricUnit.Seconds, ageSeconds, {});
      }
      if (created !== undefined) logger.info('the next System Key was made ahead', { ...created });
      for (const entry of erasuresDue) {
        logger.warn('the keys of a partition are due for deletion', { ...entry });
        metrics.count('ErasuresDue', {});
      }
      if (erasuresFault !== undefined) logger.error('the erasures could not be read', { erasuresFault });
      if (createFault !== undefined) {
        logger.error('the next System Key could not be made ahead', { createFault });
        metrics.count('SystemKeysNotCreated', {});
      }
    },
  };
}
