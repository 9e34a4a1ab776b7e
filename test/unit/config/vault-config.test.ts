import { describe, expect, it } from 'vitest';
import type { AppConfig, Environment } from '../../../src/config/app-config.ts';
import { readConfig, vaultReaderOf } from '../../../src/config/read-config.ts';
import { VAULT_ENTRIES } from '../../../src/config/vault-config.ts';
import { SETTINGS_OF_OTHER_KMS } from '../../support/kms-settings.ts';

const minimal: Environment = {
  KEYFOLD_SERVICE: 'svc',
  KEYFOLD_PRODUCT: 'prod',
  KEYFOLD_KMS: 'vault',
  KEYFOLD_VAULT_ADDRESSES: 'https://vault-1.example.com:8200, https://vault-2.example.com:8200',
  KEYFOLD_VAULT_TRANSIT_KEY: 'keyfold',
  KEYFOLD_VAULT_ROLE: 'orders',
  AWS_REGION: 'us-west-2',
};

/** What the minimal settings are read as. */
const kms = {
  kind: 'vault',
  addresses: ['https://vault-1.example.com:8200', 'https://vault-2.example.com:8200'],
  transitKey: 'keyfold',
  transitMount: undefined,
  namespace: undefined,
  caFile: undefined,
  login: {
    method: 'aws',
    role: 'orders',
    mount: undefined,
    secretFile: undefined,
    region: undefined,
    serverId: undefined,
  },
  failover: {},
};

async function configOf(changes: Environment = {}): Promise<AppConfig> {
  const environment = { ...minimal, ...changes };
  return readConfig(environment, [], await vaultReaderOf(environment));
}

async function faultsOf(changes: Environment): Promise<string[]> {
  try {
    await configOf(changes);
  } catch (error) {
    return (error as Error).message.split('\n- ').slice(1);
  }
  return [];
}

describe('Vault settings', () => {
  it("select the login with the function's IAM role by default", async () => {
    expect((await configOf()).kms).toStrictEqual(kms);
  });

  it('are all read, and name the files with the secrets', async () => {
    const changes = {
      KEYFOLD_VAULT_TRANSIT_MOUNT: 'teams/transit',
      KEYFOLD_VAULT_NAMESPACE: 'team/orders',
      KEYFOLD_VAULT_CA_FILE: '/opt/ca.pem',
      KEYFOLD_VAULT_AUTH_MOUNT: 'auth-eu',
      KEYFOLD_ON_KEY_REFUSED: 'fail',
    };
    const read = {
      ...kms,
      transitMount: 'teams/transit',
      namespace: 'team/orders',
      caFile: '/opt/ca.pem',
      failover: { onKeyRefused: 'fail' },
    };
    const login = { ...kms.login, mount: 'auth-eu' };
    const approle = { ...changes, KEYFOLD_VAULT_AUTH: 'approle', KEYFOLD_VAULT_SECRET_FILE: '/run/secret-id' };
    expect((await configOf(approle)).kms).toStrictEqual({
      ...read,
      login: { ...login, method: 'approle', secretFile: '/run/secret-id' },
    });
    const aws = { ...changes, KEYFOLD_VAULT_STS_REGION: 'eu-west-1', KEYFOLD_VAULT_SERVER_ID: 'vault.example' };
    expect((await configOf(aws)).kms).toStrictEqual({
      ...read,
      login: { ...login, region: 'eu-west-1', serverId: 'vault.example' },
    });
  });

  it.each<[string, Environment, string[]]>([
    [
      'an unknown KMS',
      { KEYFOLD_KMS: 'gcp' },
      [
        'KEYFOLD_VAULT_ADDRESSES is set without KEYFOLD_KMS=vault',
        'KEYFOLD_VAULT_TRANSIT_KEY is set without KEYFOLD_KMS=vault',
        'KEYFOLD_VAULT_ROLE is set without KEYFOLD_KMS=vault',
        'KEYFOLD_KMS is neither aws nor vault',
      ],
    ],
    [
      'a missing address',
      { KEYFOLD_VAULT_ADDRESSES: undefined },
      ['KEYFOLD_VAULT_ADDRESSES must be set with KEYFOLD_KMS=vault'],
    ],
    [
      'an address without TLS',
      { KEYFOLD_VAULT_ADDRESSES: 'http://vault.example.com' },
      [
        'KEYFOLD_VAULT_ADDRESSES lists an address that is no URL with https: (http: only for this machine) and without credentials',
      ],
    ],
    [
      'an address that is listed twice',
      { KEYFOLD_VAULT_ADDRESSES: 'https://a.x,https://a.x' },
      ['KEYFOLD_VAULT_ADDRESSES lists an address twice'],
    ],
    [
      'a path as the transit key',
      { KEYFOLD_VAULT_TRANSIT_KEY: '../keys' },
      ['KEYFOLD_VAULT_TRANSIT_KEY is not the name of a key'],
    ],
    [
      'a namespace that begins with a slash',
      { KEYFOLD_VAULT_NAMESPACE: '/team' },
      ['KEYFOLD_VAULT_NAMESPACE is not a path of names'],
    ],
    [
      'an unknown login method',
      { KEYFOLD_VAULT_AUTH: 'ldap' },
      ['KEYFOLD_VAULT_AUTH is none of aws, approle, kubernetes, token'],
    ],
    [
      'a role and a server ID with spaces',
      { KEYFOLD_VAULT_ROLE: 'a b', KEYFOLD_VAULT_SERVER_ID: 'é' },
      [
        'KEYFOLD_VAULT_ROLE is not printable ASCII without spaces',
        'KEYFOLD_VAULT_SERVER_ID is not printable ASCII without spaces',
      ],
    ],
    [
      'paths and a region that are invalid',
      { KEYFOLD_VAULT_TRANSIT_MOUNT: 'a//b', KEYFOLD_VAULT_AUTH_MOUNT: '../b', KEYFOLD_VAULT_STS_REGION: 'west' },
      [
        'KEYFOLD_VAULT_TRANSIT_MOUNT is not a path of names',
        'KEYFOLD_VAULT_AUTH_MOUNT is not a path of names',
        'KEYFOLD_VAULT_STS_REGION is not the name of an AWS region',
      ],
    ],
    [
      'a missing role',
      { KEYFOLD_VAULT_ROLE: undefined },
      ['KEYFOLD_VAULT_ROLE must be set with KEYFOLD_VAULT_AUTH=aws'],
    ],
    [
      'a login by token without a file, but with a role',
      { KEYFOLD_VAULT_AUTH: 'token' },
      [
        'KEYFOLD_VAULT_SECRET_FILE must be set with KEYFOLD_VAULT_AUTH=token',
        'KEYFOLD_VAULT_ROLE has no meaning with KEYFOLD_VAULT_AUTH=token',
      ],
    ],
    [
      'a server ID for Kubernetes',
      { KEYFOLD_VAULT_AUTH: 'kubernetes', KEYFOLD_VAULT_SERVER_ID: 'vault' },
      ['KEYFOLD_VAULT_SERVER_ID has no meaning with KEYFOLD_VAULT_AUTH=kubernetes'],
    ],
    [
      'settings of AWS KMS and of a static master key',
      SETTINGS_OF_OTHER_KMS,
      Object.keys(SETTINGS_OF_OTHER_KMS).map((name) => `${name} has no meaning with KEYFOLD_KMS=vault`),
    ],
    [
      'a missing transit key',
      { KEYFOLD_VAULT_TRANSIT_KEY: undefined },
      ['KEYFOLD_VAULT_TRANSIT_KEY must be set with KEYFOLD_KMS=vault'],
    ],
    [
      'a Vault address without KEYFOLD_KMS',
      { KEYFOLD_KMS: undefined, KEYFOLD_VAULT_ROLE: undefined, KEYFOLD_VAULT_TRANSIT_KEY: undefined },
      [
        'KEYFOLD_VAULT_ADDRESSES is set without KEYFOLD_KMS=vault',
        'one of KEYFOLD_KMS_KEYS and KEYFOLD_STATIC_MASTER_KEY_HEX must be set, and not both',
      ],
    ],
  ])('cause an error for %s', async (_, changes, faults) => {
    expect(await faultsOf(changes)).toEqual(faults);
  });

  it.for([
    ['aws', ['SECRET_FILE']],
    ['approle', ['STS_REGION', 'SERVER_ID']],
    ['kubernetes', ['STS_REGION', 'SERVER_ID']],
    ['token', ['AUTH_MOUNT', 'ROLE', 'STS_REGION', 'SERVER_ID']],
  ] as const)('must not include a setting of another login method if the method is %s', async ([method, idle]) => {
    const settings = { AUTH_MOUNT: 'auth', ROLE: 'r', SECRET_FILE: '/f', STS_REGION: 'us-west-2', SERVER_ID: 's' };
    const changes = Object.fromEntries(
      Object.entries(settings).map(([name, value]) => [`KEYFOLD_VAULT_${name}`, value]),
    );
    expect(await faultsOf({ ...changes, KEYFOLD_VAULT_AUTH: method })).toEqual(
      idle.map((name) => `KEYFOLD_VAULT_${name} has no meaning with KEYFOLD_VAULT_AUTH=${method}`),
    );
  });

  it.for(Object.keys(VAULT_ENTRIES))('cause one error if %s is empty', async (name) => {
    expect(await faultsOf({ [`KEYFOLD_${name}`]: '' })).toEqual([
      expect.stringMatching(new RegExp(`^KEYFOLD_${name} is (?:empty|none of .*|not the name of an AWS region)$`)),
    ]);
  });
});
