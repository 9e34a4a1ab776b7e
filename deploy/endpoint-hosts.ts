import { lookup } from 'node:dns/promises';
import { DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { KMSClient } from '@aws-sdk/client-kms';
import { SQSClient } from '@aws-sdk/client-sqs';
import type { Deployment } from './deployment.ts';

type Options = Readonly<{ Region: string; UseFIPS: boolean; UseDualStack: boolean }>;

/**
 * Checks that the FIPS or dual-stack hosts that the functions would call exist. AWS does not offer them in every
 * region, and the functions would fail without them. If this machine cannot resolve AWS's usual hosts either, it cannot
 * tell whether a host exists. The check then passes.
 * @param find resolves a host, or throws an error with the code ENOTFOUND
 * @throws Error that names the missing hosts
 */
export async function requireHosts(
  { endpoints, queue, regions }: Deployment,
  find: (host: string) => Promise<unknown> = lookup,
): Promise<void> {
  if (!endpoints.fips && !endpoints.dualStack) return;
  const exists = async (host: string): Promise<boolean> =>
    find(host).then(
      () => true,
      (error: { code?: unknown }) => error.code !== 'ENOTFOUND',
    );
  const missing: string[] = [];
  for (const Region of regions) {
    const usual = hostsOf({ Region, UseFIPS: false, UseDualStack: false });
    const called = hostsOf({ Region, UseFIPS: endpoints.fips, UseDualStack: endpoints.dualStack });
    for (const service of ['kms', 'dynamodb', ...(queue.kind === 'none' ? [] : (['sqs'] as const))] as const) {
      if (!(await exists(called[service])) && (await exists(usual[service]))) missing.push(called[service]);
    }
  }
  if (missing.length === 0) return;
  throw new Error(`AWS has no such hosts, which endpoints in deploy.yml asks for: ${missing.join(', ')}`);
}

/** The host that the SDK calls for each service. */
function hostsOf(options: Options): Record<'kms' | 'dynamodb' | 'sqs', string> {
  return {
    kms: new KMSClient().config.endpointProvider(options).url.host,
    dynamodb: new DynamoDBClient().config.endpointProvider(options).url.host,
    sqs: new SQSClient().config.endpointProvider(options).url.host,
  };
}
