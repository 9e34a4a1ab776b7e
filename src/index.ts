/**
 * Keyfold as a library: encrypts and decrypts in the caller's own process. Create one {@link SessionFactory} with a
 * {@link KeyManagementService} and a {@link Metastore}, and keep it. Get a {@link Session} from it for each partition.
 *
 * If an argument has a wrong type or an option does not exist, the function throws a TypeError that names the
 * parameter. Asynchronous functions reject with it. No key has been used by then. Every other failure is a
 * {@link KeyfoldError}.
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
  RowProofBasis,
  Unwrapped,
  Wrapped,
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
export type { ContextRules, Session } from './envelope/session.ts';
export type { RecordContext, RecordForm, RecordPlace } from './records/record-proof.ts';
export { SessionFactory, type SessionFactoryOptions } from './envelope/session-factory.ts';
export { AwsKms, type AwsKmsOptions } from './kms/aws-kms.ts';
export type { FailoverPolicy } from './kms/failover-policy.ts';
export type { Attempt, KmsEvents } from './kms/failover.ts';
export type { RegionState } from './kms/region-health.ts';
export { STATIC_KMS_OVERRIDE, StaticKms } from './kms/static-kms.ts';
export type { DynamoDbMetastoreOptions } from './metastore/dynamodb-client.ts';
export { DynamoDbMetastore } from './metastore/dynamodb-metastore.ts';
export { MemoryMetastore } from './metastore/memory-metastore.ts';
