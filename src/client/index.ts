/**
 * A client for a Keyfold service that runs in Lambda. Make one {@link KeyfoldClient}, and get a {@link PartitionClient}
 * from it for each partition. The methods are the same for direct invocation and for the HTTP API.
 *
 * Every function throws a TypeError that names the parameter if an argument has the wrong type or an option does not
 * exist. Asynchronous functions reject with the TypeError before they send a request.
 */
export { KeyfoldClient, type KeyfoldClientOptions } from './client.ts';
export { KeyfoldClientError, KeyfoldServiceError, KeyfoldTransportError, type TransportErrorCode } from './errors.ts';
export type { ErrorCode } from '../errors.ts';
export type { HttpTransportOptions } from './http.ts';
export type { LambdaTransport } from './lambda.ts';
export type {
  DocumentOf,
  FieldBinding,
  FieldSelection,
  FieldsToDecrypt,
  FieldsToEncrypt,
  GivenDocument,
  SharingOptions,
} from '../operations/fields-request.ts';
export type {
  CallOptions,
  ContextOptions,
  DecryptOptions,
  PlaintextItem,
  RecordItem,
  RecordOptions,
} from './call-options.ts';
export type { RecordContext } from '../records/record-proof.ts';
export type { PartitionClient } from './partition.ts';
export type { JsonRecord, KeyfoldRecord, MovedRecordOf, RecordFormat, RecordOf, Rewrapped } from './records.ts';
export type { RetryPolicy } from './retry.ts';
export type { Credentials, Identity } from '../connections/sdk-client.ts';
