/** Packages the app with osls, and reads from docs/reference/metrics.md which metrics exist. */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { yamlParse } from 'yaml-cfn';
import { APP_TEMPLATE, describePackage, packageApp } from '../../../deploy/package.ts';
import { readDeployment } from '../../../deploy/read-deployment.ts';

const root = join(import.meta.dirname, '..', '..', '..');

/** A resource of the packaged template. */
export interface AppResource {
  readonly Type: string;
  readonly DeletionPolicy?: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- a template is of any shape
  readonly Properties: Readonly<Record<string, any>>;
}

/** A packaged app: the resources of its template, and the file names in each zip. */
export interface AppPackage {
  /** The path of the template. */
  readonly template: string;
  readonly resources: Readonly<Record<string, AppResource>>;
  readonly zips: Readonly<Record<string, readonly string[]>>;
  /** The stack settings that osls applies outside the template. */
  readonly stack: { readonly deletionProtection: unknown; readonly stackTags: unknown };
  remove(): Promise<void>;
}

interface OslsState {
  readonly service: { readonly provider: AppPackage['stack'] };
}

/**
 * Options whose values all differ from those of the example. They also name a topic for alarms and keys for the
 * functions' environment.
 */
export const FLIPPED = {
  http: {
    auth: 'jwt',
    issuer: 'https://login.example.com/',
    audience: ['keyfold'],
    partitionsClaim: 'tenants',
    partitionLists: true,
    partitionWildcards: false,
    scopeClaim: 'scp',
  },
  queue: { kind: 'fifo', fields: ['$.card'], retentionDays: 2, oldestMessageSeconds: 600 },
  functions: { seal: { reservedConcurrency: 7 } },
  tableName: 'Keys',
  logRetentionDays: 90,
  tracing: true,
  logFormat: 'json',
  applicationLogLevel: 'DEBUG',
  systemLogLevel: 'WARN',
  alarmTopics: { 'us-west-2': 'arn:aws:sns:us-west-2:111122223333:oncall' },
  environmentKeys: { 'us-west-2': 'arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000001' },
  storageKeys: { 'us-west-2': 'arn:aws:kms:us-west-2:111122223333:key/00000000-0000-0000-0000-000000000002' },
  settings: { KEYFOLD_ON_KEY_REFUSED: 'fail', KEYFOLD_EXPIRE_AFTER_MS: '2592000000' },
};

const CERTIFICATE = 'certificate/00000000-0000-0000-0000-000000000001';
const DOMAIN = {
  name: 'keyfold.example.com',
  certificates: {
    'us-west-2': `arn:aws:acm:us-west-2:111122223333:${CERTIFICATE}`,
    'us-east-1': `arn:aws:acm:us-east-1:111122223333:${CERTIFICATE}`,
  },
};
const CORS = { origins: ['https://app.example.com'] };
/** Uses the tokens of a Cognito user pool. An API of any type except a function URL can verify them. */
export const COGNITO = {
  auth: 'jwt',
  issuer: 'https://cognito-idp.us-west-2.amazonaws.com/us-west-2_Example01',
  partitionsClaim: 'tenant',
};
const VPC_ENDPOINTS = { 'us-west-2': ['vpce-0123456789abcdef0'], 'us-east-1': ['vpce-0123456789abcdef1'] };

/** A Lambda authorizer in each region. It may belong to another account. */
export const AUTHORIZER = {
  auth: 'authorizer',
  authorizers: {
    'us-west-2': 'arn:aws:lambda:us-west-2:444455556666:function:authorizer:live',
    'us-east-1': 'arn:aws:lambda:us-east-1:444455556666:function:authorizer',
  },
} as const;
export const VPC = {
  'us-west-2': { subnets: ['subnet-0123456789abcdef0', 'subnet-01234567'], securityGroups: ['sg-0123456789abcdef0'] },
  'us-east-1': { subnets: ['subnet-0123456789abcdef1'], securityGroups: ['sg-0123456789abcdef1'] },
};
const CALLERS = [
  { principal: 'arn:aws:iam::444455556666:role/orders', partitions: ['tenant-1', 'team-*'] },
  { principal: 'arn:aws:iam::555566667777:root', partitions: ['*'] },
];
const USAGE_PLANS = {
  busy: { requestsPerSecond: 20, burst: 10, requestsPerDay: 100_000 },
  others: { requestsPerSecond: 200, burst: 100 },
};
const WARM = { functions: { api: { provisionedConcurrency: 2 }, seal: { provisionedConcurrency: 1 } } };

/** The example with each type of entry, and with the options that only some types have. */
export const ENTRIES = {
  http: { api: { type: 'http', domain: DOMAIN, cors: CORS }, architecture: 'x86_64' },
  httpWithAuthorizer: { http: { ...AUTHORIZER, authorizerCacheSeconds: 60 }, vpc: VPC, ...WARM },
  rest: { api: { type: 'rest', domain: DOMAIN }, http: COGNITO },
  restWithCallers: { api: { type: 'rest', callers: CALLERS, usagePlans: USAGE_PLANS }, ...WARM },
  restWithAuthorizer: { api: { type: 'rest' }, http: AUTHORIZER, endpoints: { fips: true, dualStack: true }, vpc: VPC },
  private: { api: { type: 'private', vpcEndpoints: VPC_ENDPOINTS } },
  functionUrl: { api: { type: 'functionUrl', cors: CORS }, ...WARM },
} as const;

/** Packages the example, with some changes, for a region. Builds dist/ first if it is missing. */
export async function packageExample(changed: object, region = 'us-west-2'): Promise<AppPackage> {
  if (!existsSync(join(root, 'dist', 'handlers', 'api'))) {
    await promisify(execFile)(process.execPath, ['scripts/build.ts'], { cwd: root });
  }
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-app-'));
  const file = join(folder, 'deploy.yml');
  const example = yamlParse(readFileSync(join(root, 'deploy.example.yml'), 'utf8')) as object;
  await writeFile(file, JSON.stringify({ ...example, ...changed }));
  const artefacts = await packageApp(file, region, join(folder, 'package'));
  await describePackage(await readDeployment(file), region, join(folder, 'package'));
  const template = join(folder, 'package', APP_TEMPLATE);
  const zips = artefacts.map(({ name }) => name).filter((name) => name.endsWith('.zip'));
  return {
    template,
    resources: (JSON.parse(readFileSync(template, 'utf8')) as { Resources: Record<string, AppResource> }).Resources,
    stack: (JSON.parse(readFileSync(join(folder, 'package', 'serverless-state.json'), 'utf8')) as OslsState).service
      .provider,
    zips: Object.fromEntries(zips.map((name) => [name, namesIn(readFileSync(join(folder, 'package', name)))])),
    remove: () => rm(folder, { recursive: true }),
  };
}

/** The file names in a zip, from its central directory. */
export function namesIn(zip: Buffer): string[] {
  const names: string[] = [];
  const signature = Buffer.from([0x50, 0x4b, 0x01, 0x02]);
  for (let at = zip.indexOf(signature); at !== -1; at = zip.indexOf(signature, at + 46)) {
    names.push(zip.toString('utf8', at + 46, at + 46 + zip.readUInt16LE(at + 28)));
  }
  return names;
}

function quoted(text: string): string[] {
  return [...text.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
}

/** The dimensions of each Keyfold metric, from docs/reference/metrics.md, including `service`. */
export function documentedMetrics(): Map<string, string[]> {
  const docs = readFileSync(join(root, 'docs', 'reference', 'metrics.md'), 'utf8');
  const rows = docs.slice(0, docs.indexOf('## Alarms')).matchAll(/^\| (`[A-Z].*?) \|(.*?)\|/gm);
  const metrics = new Map<string, string[]>();
  for (const [, names = '', dimensions = ''] of rows) {
    if (names.includes('Cache')) continue;
    for (const name of quoted(names)) metrics.set(name, ['service', ...quoted(dimensions)].toSorted());
  }
  for (const kind of ['SystemKey', 'IntermediateKey']) {
    for (const what of ['Hits', 'Misses', 'Evictions']) metrics.set(`${kind}Cache${what}`, ['service']);
  }
  return metrics;
}
