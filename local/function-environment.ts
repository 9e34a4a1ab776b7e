import type { KmsEmulator } from '../emulators/kms/kms-emulator.ts';

/** The operations of the two functions for direct invocation, divided as in docs/reference/direct-invocation.md. */
export const SEALING = 'encrypt,rewrap,encrypt-batch,rewrap-batch,encrypt-fields';
export const OPENING = 'decrypt,decrypt-batch,decrypt-fields';

/** The emulators and KMS keys that a function uses. */
export interface KeyPlaces {
  /** The endpoint of the KMS emulator. */
  readonly kms: string;
  /** The endpoint of the DynamoDB emulator. */
  readonly dynamoDb: string;
  /** The ARN of the KMS key in each region. The function runs in the first of them. */
  readonly keys: Readonly<Record<string, string>>;
}

/**
 * Makes a KMS key with the alias `alias/keyfold` in each region that does not have this alias.
 * @returns the ARN of the alias in each region
 */
export async function ensureKeys(kms: KmsEmulator, regions: readonly string[]): Promise<Record<string, string>> {
  const arns = await Promise.all(
    regions.map(async (region) => [region, (await kms.ensureKey(region, 'alias/keyfold')).aliasArn] as const),
  );
  return Object.fromEntries(arns);
}

/**
 * The environment variables with which a function uses the emulators. They do not include the service and the product.
 */
export function functionEnvironment({ kms, dynamoDb, keys }: KeyPlaces): Record<string, string> {
  const [region = ''] = Object.keys(keys);
  return { ...tableEnvironment(region, dynamoDb), ...kmsEnvironment(kms, keys) };
}

/** The environment variables that set a function's region and let it use the DynamoDB emulator. */
export function tableEnvironment(region: string, endpoint: string): Record<string, string> {
  return {
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    POWERTOOLS_DEV: 'false',
    KEYFOLD_DYNAMODB_ENDPOINT: endpoint,
  };
}

/** The environment variables that let a function use the KMS emulator. */
export function kmsEnvironment(endpoint: string, keys: KeyPlaces['keys']): Record<string, string> {
  return { AWS_ENDPOINT_URL_KMS: endpoint, KEYFOLD_KMS_KEYS: JSON.stringify(keys) };
}
