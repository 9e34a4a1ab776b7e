/** Tests which FIPS and dual-stack hosts a deployment requires. The tests make no DNS query. */
import { expect, it } from 'vitest';
import { requireHosts } from '../../../deploy/endpoint-hosts.ts';
import { read } from './changed-example.ts';

/**
 * Checks a deployment, as if the hosts that match `isMissing` did not exist. Returns the requested hosts and the error.
 */
async function check(changed: object, isMissing: RegExp): Promise<{ asked: string[]; error: string | undefined }> {
  const asked: string[] = [];
  const find = async (host: string): Promise<void> => {
    asked.push(host);
    if (isMissing.test(host)) throw Object.assign(new Error(`getaddrinfo ${host}`), { code: 'ENOTFOUND' });
  };
  const error = await requireHosts(await read(changed), find).then(
    () => undefined,
    ({ message }: Error) => message,
  );
  return { asked, error };
}

const FIPS = { endpoints: { fips: true } };

it('a deployment with the usual endpoints looks up no host', async () => {
  expect(await check({}, /./)).toEqual({ asked: [], error: undefined });
});

it('a FIPS deployment is refused in a region without FIPS hosts', async () => {
  const { error } = await check({ ...FIPS, regions: ['us-west-2', 'eu-west-1'] }, /^(?:dynamodb|sqs)-fips\.eu-/);
  expect(error).toBe(
    'AWS has no such hosts, which endpoints in deploy.yml asks for: dynamodb-fips.eu-west-1.amazonaws.com, sqs-fips.eu-west-1.amazonaws.com',
  );
});

it('a deployment without a queue does not need the host of SQS', async () => {
  const changed = { ...FIPS, queue: { kind: 'none' }, regions: ['us-west-2'] };
  const { asked, error } = await check(changed, /sqs/);
  expect(error).toBe(undefined);
  expect(asked).toEqual(['kms-fips.us-west-2.amazonaws.com', 'dynamodb-fips.us-west-2.amazonaws.com']);
});

it.for([
  [{ fips: true }, 'us-gov-west-1', 'arn:aws-us-gov', ['kms-fips', 'dynamodb', 'sqs'], 'amazonaws.com'],
  [{ dualStack: true }, 'us-west-2', 'arn:aws', ['kms', 'dynamodb', 'sqs'], 'api.aws'],
  [{ fips: true, dualStack: true }, 'us-west-2', 'arn:aws', ['kms-fips', 'dynamodb-fips', 'sqs-fips'], 'api.aws'],
] as const)(
  'a deployment with the endpoints %j in %s looks up the hosts that the SDK calls',
  async ([endpoints, region, arn, names, suffix]) => {
    const administrators = [`${arn}:iam::111122223333:role/key-administrator`];
    const { asked } = await check({ endpoints, administrators, regions: [region] }, /^$/);
    expect(asked).toEqual(names.map((name) => `${name}.${region}.${suffix}`));
  },
);

it('a deployment is accepted on a machine that can look up no AWS host', async () => {
  expect((await check(FIPS, /./)).error).toBe(undefined);
});
