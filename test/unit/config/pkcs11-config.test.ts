import { describe, expect, it } from 'vitest';
import type { AppConfig, Environment, KmsConfig } from '../../../src/config/app-config.ts';
import { hsmReaderOf, readOperatorConfig } from '../../../src/config/operator-config.ts';
import { readConfig } from '../../../src/config/read-config.ts';
import { SETTINGS_OF_OTHER_KMS } from '../../support/kms-settings.ts';

const minimal: Environment = {
  KEYFOLD_SERVICE: 'svc',
  KEYFOLD_PRODUCT: 'prod',
  KEYFOLD_KMS: 'pkcs11',
  KEYFOLD_PKCS11_LIBRARY: '/opt/hsm/lib.so',
  KEYFOLD_PKCS11_TOKEN_LABEL: 'production',
  KEYFOLD_PKCS11_KEY_LABELS: 'keyfold, older',
  KEYFOLD_PKCS11_PIN_FILE: '/run/pin',
  AWS_REGION: 'us-west-2',
};
const kms = {
  kind: 'pkcs11',
  library: '/opt/hsm/lib.so',
  tokenLabel: 'production',
  keyLabels: ['keyfold', 'older'],
  pinFile: '/run/pin',
  mechanism: undefined,
};

function configOf(changes: Environment = {}): AppConfig {
  const environment = { ...minimal, ...changes };
  return readConfig<KmsConfig>(environment, [], hsmReaderOf(environment));
}

function faultsOf(read: () => unknown): string[] {
  try {
    read();
  } catch (error) {
    return (error as Error).message.split('\n- ').slice(1);
  }
  return [];
}

describe('the HSM settings', () => {
  it("are read for an operator's command", () => {
    expect(configOf().kms).toEqual(kms);
    expect(readOperatorConfig(minimal, {}).kms).toEqual(kms);
    const mechanism = 'CKM_AES_KEY_WRAP_PAD';
    expect(configOf({ KEYFOLD_PKCS11_MECHANISM: mechanism }).kms).toEqual({ ...kms, mechanism });
  });

  it('are refused by a function, which has no HSM', () => {
    expect(faultsOf(() => readConfig(minimal))).toEqual([
      'KEYFOLD_PKCS11_LIBRARY is not a setting',
      'KEYFOLD_PKCS11_TOKEN_LABEL is not a setting',
      'KEYFOLD_PKCS11_KEY_LABELS is not a setting',
      'KEYFOLD_PKCS11_PIN_FILE is not a setting',
      'KEYFOLD_KMS is neither aws nor vault',
    ]);
  });

  it('must include the library, the token, the keys and the PIN', () => {
    const needed = ['LIBRARY', 'TOKEN_LABEL', 'KEY_LABELS', 'PIN_FILE'].map((name) => `KEYFOLD_PKCS11_${name}`);
    const unset = Object.fromEntries(needed.map((name) => [name, undefined]));
    expect(faultsOf(() => configOf(unset))).toEqual(
      needed.map((name) => `${name} must be set with KEYFOLD_KMS=pkcs11`),
    );
  });

  it('must not include a setting of AWS KMS, of a static master key or of failover', () => {
    const idle = { ...SETTINGS_OF_OTHER_KMS, KEYFOLD_ON_KEY_REFUSED: 'fail' };
    expect(faultsOf(() => configOf(idle))).toEqual(
      Object.keys(idle).map((name) => `${name} has no meaning with KEYFOLD_KMS=pkcs11`),
    );
  });

  it.each<[string, Environment]>([
    [
      'KEYFOLD_PKCS11_TOKEN_LABEL does not have 1 to 32 printable characters',
      { KEYFOLD_PKCS11_TOKEN_LABEL: 'x'.repeat(33) },
    ],
    ['KEYFOLD_PKCS11_KEY_LABELS lists a label twice', { KEYFOLD_PKCS11_KEY_LABELS: 'a,a' }],
    [
      'KEYFOLD_PKCS11_KEY_LABELS lists a label that does not have 1 to 128 printable characters',
      { KEYFOLD_PKCS11_KEY_LABELS: 'é' },
    ],
    [
      'KEYFOLD_PKCS11_MECHANISM is neither CKM_AES_GCM nor CKM_AES_KEY_WRAP_PAD',
      { KEYFOLD_PKCS11_MECHANISM: 'CKM_AES_CBC' },
    ],
    ['KEYFOLD_VAULT_ROLE is set without KEYFOLD_KMS=vault', { KEYFOLD_VAULT_ROLE: 'x' }],
  ])('cause the error "%s"', (fault, changes) => {
    expect(faultsOf(() => configOf(changes))).toContain(fault);
  });
});
