import { StaticKms as StaticKmsIn, type LambdaEnvironment } from './kms/static-kms.ts';

/**
 * Keyfold as a library: encrypts and decrypts in the caller's own process. Create one {@link SessionFactory} with a
 * {@link KeyManagementService} and a {@link Metastore}, and keep it. Get a {@link Session} from it for each partition.
 *
 * If an argument has the wrong type or an option does not exist, a function throws a TypeError that names the
 * parameter. Asynchronous functions reject with the TypeError. Keyfold checks the arguments before it uses any key.
 * Every other failure is a {@link KeyfoldError}.
 */
export type { Clock } from './async/clock.ts';
export type { Deadline, RequestLimits } from './async/deadline.ts';
export type { Credentials, Identity, SdkClient } from './connections/sdk-client.ts';
export { cryptoPolicy, type CryptoPolicy } from './envelope/crypto-policy.ts';
export type {
  EnvelopeEvents,
  EnvelopeKeyRecord,
  Erasure,
  ErasureMark,
  KeyKind,
  KeyManagementService,
  Metastore,
  Retirement,
  RowProofBasis,
  Unwrapped,
  Wrapped,
} from './envelope/ports.ts';
export type { ContextRules } from './envelope/context-rules.ts';
export type { KeyUsed, Session } from './envelope/session.ts';
export { SessionFactory, type SessionFactoryOptions } from './envelope/session-factory.ts';
export { KeyfoldError, type ErrorCode } from './errors.ts';
export { AwsKms, type AwsKmsOptions } from './kms/aws-kms.ts';
export type { FailoverPolicy } from './kms/failover-policy.ts';
export type { Attempt, KmsEvents } from './kms/failover.ts';
export type { FaultClass, KmsAction, RegionFault } from './kms/region-fault.ts';
export type { RegionState } from './kms/region-health.ts';
export type { KmsTimeouts } from './kms/regional-kms.ts';
export { STATIC_KMS_OVERRIDE, type LambdaEnvironment } from './kms/static-kms.ts';
export type { ErasureRegister, RegisteredErasure } from './maintenance/erasure-table.ts';
export type { KeyRow } from './maintenance/key-table.ts';
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
export type { DynamoDbMetastoreOptions } from './metastore/dynamodb-options.ts';
export { DynamoDbMetastore } from './metastore/dynamodb-metastore.ts';
export type { MetastoreAction, MetastoreEvents, MetastoreState } from './metastore/dynamodb-metastore.ts';
export { MemoryMetastore } from './metastore/memory-metastore.ts';
export type {
  DocumentOf,
  FieldBinding,
  FieldSelection,
  FieldsToDecrypt,
  FieldsToEncrypt,
  GivenDocument,
  SharingOptions,
} from './operations/fields-request.ts';
export { decryptBatch, encryptBatch, rewrapBatch } from './operations/session-batch.ts';
export { decryptFields, encryptFields } from './operations/session-fields.ts';
export { decodeCompactRecord, encodeCompactRecord } from './records/compact-record.ts';
export type { CompactKind, CompactRecord } from './records/compact-record.ts';
export { dataRowRecordFromValue, decodeDataRowRecord, encodeDataRowRecord } from './records/data-row-record.ts';
export type { DataRowRecord } from './records/data-row-record.ts';
export type { RecordContext, RecordForm, RecordPlace } from './records/record-proof.ts';
export { parseEpochSeconds, parseKeyId } from './records/ids.ts';
export type { EpochSeconds, KeyId, KeyMeta, ServiceNames } from './records/ids.ts';

/**
 * For tests and local runs: seals System Keys with a master key instead of KMS. In Lambda, its constructor throws
 * unless an override allows the static key.
 * @example
 * import { randomBytes } from 'node:crypto';
 *
 * const keyfold = new SessionFactory({
 *   service: 'orders',
 *   product: 'shop',
 *   kms: new StaticKms(randomBytes(32)),
 *   metastore: new MemoryMetastore(),
 * });
 */
export class StaticKms extends StaticKmsIn {
  /**
   * @param masterKey 32 bytes. The constructor copies them, so the caller may zero them afterwards.
   * @param environment shows whether the process runs in Lambda. Default: `process.env`.
   * @param override {@link STATIC_KMS_OVERRIDE}, to use the static key in Lambda
   * @throws TypeError that names a parameter of the wrong type
   * @throws KeyfoldError `InvalidConfiguration` in Lambda without the override, or if the key is not 32 bytes long
   */
  // Only the entry modules read the environment. They pass it to all other modules.
  constructor(masterKey: Uint8Array, environment: LambdaEnvironment = process.env, override?: string) {
    super(masterKey, environment, override);
  }
}
