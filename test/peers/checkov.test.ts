/** Scans all templates with checkov, which finds insecure settings. It makes no network call. */
import { execFile } from 'node:child_process';
import { copyFile, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { ENTRIES, FLIPPED, packageExample } from '../integration/infra/package.ts';
import { pythonOf } from './install.ts';

/** The findings that we accept: the check, the type of resource, and the reason. */
const EXCEPTIONS: readonly (readonly [check: string, type: string, why: string])[] = [
  ['CKV_AWS_73', 'AWS::ApiGateway::Stage', 'X-Ray is an option (tracing), for the entry as for the functions'],
  [
    'CKV_AWS_120',
    'AWS::ApiGateway::Stage',
    'a cache would keep plaintexts, and would answer without the function, which authorizes and writes the audit',
  ],
  [
    'CKV_AWS_18',
    'AWS::S3::Bucket',
    'of the deployment bucket, which has the code alone, and is read by CloudFormation',
  ],
  [
    'CKV_AWS_26',
    'AWS::SNS::Topic',
    "what an alarm says is no secret, and CloudWatch and EventBridge cannot use SNS's own key",
  ],
  [
    'CKV_AWS_27',
    'AWS::SQS::Queue',
    'they are encrypted, by SQS; the check knows KMS only. A customer key would be asked by each producer and consumer',
  ],
  [
    'CKV_AWS_115',
    'AWS::Lambda::Function',
    'reserved concurrency is an option: what it reserves, the rest of the account lacks',
  ],
  [
    'CKV_AWS_116',
    'AWS::Lambda::Function',
    'the schedule alone invokes asynchronously: the maintenance runs again tomorrow, and has alarms. Callers that invoke seal or open asynchronously get no result either',
  ],
  [
    'CKV_AWS_117',
    'AWS::Lambda::Function',
    'they call KMS, DynamoDB and SQS alone; a VPC would add a network, and no access is by network',
  ],
  [
    'CKV_AWS_119',
    'AWS::DynamoDB::Table',
    'the quarantine of a re-encryption has the keys of rows and error codes alone; DynamoDB encrypts it with its own key',
  ],
  [
    'CKV_AWS_158',
    'AWS::Logs::LogGroup',
    'CloudWatch encrypts them anyhow. They have no payload and no key, but partitions and callers by name: who reads them is for IAM to say',
  ],
  ['CKV_AWS_173', 'AWS::Lambda::Function', 'an option (environmentKeys); there is no secret among the variables'],
];

interface Report {
  readonly summary: { readonly passed: number; readonly parsing_errors: number };
  readonly results: { readonly failed_checks: readonly { readonly check_id: string; readonly resource: string }[] };
}

it('checkov reports nothing about the templates except the findings that we have accepted', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-checkov-'));
  const infra = join(import.meta.dirname, '..', '..', 'infra');
  for (const name of await readdir(infra)) await copyFile(join(infra, name), join(folder, name));
  const { rest, functionUrl } = ENTRIES;
  for (const [name, changed] of Object.entries({ example: {}, flipped: FLIPPED, rest, functionUrl })) {
    const app = await packageExample(changed);
    await copyFile(app.template, join(folder, `${name}.json`));
    await app.remove();
  }
  const args = [
    '-m',
    'checkov.main',
    '-d',
    folder,
    '--framework',
    'cloudformation',
    '--skip-download',
    '--soft-fail',
    '-o',
    'json',
  ];
  const { stdout } = await promisify(execFile)(pythonOf('checkov'), args, { maxBuffer: 64 * 1024 * 1024 });
  await rm(folder, { recursive: true });
  const { results, summary } = JSON.parse(stdout) as Report;
  expect(summary.parsing_errors).toBe(0);
  expect(summary.passed).toBeGreaterThan(0);
  const found = results.failed_checks.map(({ check_id: check, resource }) => `${check} ${resource.split('.')[0]}`);
  expect([...new Set(found)].toSorted()).toEqual(EXCEPTIONS.map(([check, type]) => `${check} ${type}`).toSorted());
});
