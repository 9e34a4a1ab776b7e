/**
 * A client of a Keyfold that runs in Lambda: make one {@link KeyfoldClient}, and take a {@link PartitionClient} from it for each
 * partition. The methods are the same whether it invokes functions or calls the API.
 *
 * Every function throws a TypeError that names the parameter for an argument of a wrong type, and for an option that does not exist.
 * Asynchronous functions reject with it, before anything is sent.
 */
export { KeyfoldClient, type KeyfoldClientOptions } from './client.ts';
export type { GivenDocument } from './documents.ts';
export { KeyfoldClientError, KeyfoldServiceError, KeyfoldTransportError, type TransportErrorCode } from './errors.ts';
export type { ErrorCode } from '../errors.ts';
export type { HttpTransportOptions } from './http.ts';
export type { KeyfoldFunctions, LambdaTransportOptions } from './lambda.ts';
export type { CallOptions, FieldSelection, FieldsToDecrypt, FieldsToEncrypt } from './partition.ts';
export type { PartitionClient, RecordOptions } from './partition.ts';
export type { JsonRecord, KeyfoldRecord, MovedRecordOf, RecordFormat, RecordOf, Rewrapped } from './records.ts';
export type { RetryPolicy } from './retry.ts';
export type { Credentials } from './sign.ts';
