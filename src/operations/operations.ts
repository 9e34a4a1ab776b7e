import { encodeDataRowRecord, type DataRowRecord } from '../envelope/data-row-record.ts';
import { decrypt } from './decrypt.ts';
import { encrypt } from './encrypt.ts';
import { rewrap } from './rewrap.ts';

/** Every operation, by the name that the doors know it by. */
export const OPERATIONS = { encrypt, decrypt, rewrap };

/** The name of an operation. */
export type OperationName = keyof typeof OPERATIONS;

/** What an operation answers with. */
export type Answer = Awaited<ReturnType<(typeof OPERATIONS)[OperationName]>>;

/** Whether a name from outside is an operation's. */
export function isOperationName(name: string): name is OperationName {
  return Object.hasOwn(OPERATIONS, name);
}

/** An answer as JSON text. Written out, since `JSON.stringify` looks through a megabyte of base64 for what to escape. */
export function encodeAnswer(answer: Answer): string {
  if ('plaintext' in answer) return `{"plaintext":"${answer.plaintext.toString('base64')}"}`;
  const record = encodeRecord(answer.record);
  return 'rewrapped' in answer ? `{${record},"rewrapped":${answer.rewrapped}}` : `{${record}}`;
}

function encodeRecord(record: DataRowRecord): string {
  return `"record":${encodeDataRowRecord(record)}`;
}
