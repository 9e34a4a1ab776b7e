/**
 * Keyfold for the AWS CDK: constructs that deploy the same CloudFormation templates as `npm run deploy` does.
 * @example
 * import { App, Stack } from 'aws-cdk-lib';
 * import { KeyfoldApi, KeyfoldQueue, KeyTable, SymmetricKey } from 'keyfold/cdk';
 *
 * const env = { account: '111122223333', region: 'us-west-2' };
 * const stack = new Stack(new App(), 'keyfold', { env, terminationProtection: true });
 * const key = new SymmetricKey(stack, 'Key', {
 *   classification: 'confidential',
 *   administrators: [`arn:aws:iam::${env.account}:role/cdk-hnb659fds-cfn-exec-role-${env.account}-${env.region}`],
 *   policyRegions: [env.region],
 *   alarmEmail: 'security@example.com',
 * });
 * const table = new KeyTable(stack, 'Table', { classification: 'confidential' });
 * const api = new KeyfoldApi(stack, 'Api', { packageFolder: '../keyfold/.keyfold/app/keyfold/us-west-2', key, table });
 * new KeyfoldQueue(stack, 'Queue', { api });
 */
export { KeyTable } from './key-table.ts';
export type { KeyTableProps } from './key-table.ts';
export { KeyfoldApi } from './keyfold-api.ts';
export type { KeyfoldApiProps } from './keyfold-api.ts';
export { KeyfoldQueue } from './keyfold-queue.ts';
export type { KeyfoldQueueProps } from './keyfold-queue.ts';
export { SymmetricKey } from './symmetric-key.ts';
export type { SymmetricKeyProps } from './symmetric-key.ts';
