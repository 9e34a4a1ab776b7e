/**
 * Keyfold as a library: encrypts and decrypts in the caller's own process. Make one {@link SessionFactory}, with a
 * {@link KeyManagementService} and a {@link Metastore}, and keep it; take a {@link Session} from it for each partition.
 *
 * Every function throws a TypeError that names the parameter for an argument of a wrong type, and for an option that
 * does not exist. Asynchronous functions reject with it. It comes before any key is touched. Other failures are {@link
 * KeyfoldError}s.
 */
export { cryptoPolicy, type CryptoPolicy } from './envelope/crypto-policy.ts';
export { decodeCompactRecord, encodeCompactRecord } from './records/compact-record.ts';
export type { CompactKind, CompactRecord } from './records/compact-record.ts';
export { dataRowRecordFromValue, decodeDataRowRecord, encodeDataRowRecord } from './records/data-row-record.ts';
export type { DataRowRecord } from './records/data-row-record.ts';
export type { Clock } from './async/clock.ts';
export type { Deadline, RequestLimits } from './async/deadline.ts';
export { KeyfoldError, type ErrorCode } from './errors.ts';
export type { KeyMeta, ServiceNames } from './records/ids.ts';
export type {
  EnvelopeEvents,
  EnvelopeKeyRecord,
  KeyManagementService,
  Metastore,
  Unwrapped,
} from './envelope/ports.ts';
export { SystemKeyMaintenance } from './maintenance/system-key-maintenance.ts';
export type {
  MaintenanceOptions,
  MaintenanceReport,
  RegionWrap,
  SystemKeyReport,
  SystemKeyStore,
  WrapRenewer,
  WrapReport,
} from './maintenance/system-key-maintenance.ts';
export { SessionFactory, type Session, type SessionFactoryOptions } from './envelope/session.ts';
export { AwsKms, type AwsKmsOptions } from './kms/aws-kms.ts';
export type { FailoverPolicy } from './kms/failover-policy.ts';
export type { Attempt, KmsEvents } from './kms/failover.ts';
export type { RegionState } from './kms/region-health.ts';
export { STATIC_KMS_OVERRIDE, StaticKms } from './kms/static-kms.ts';
export type { DynamoDbMetastoreOptions } from './metastore/dynamodb-client.ts';
export { DynamoDbMetastore } from './metastore/dynamodb-metastore.ts';
export { MemoryMetastore } from './metastore/memory-metastore.ts';
