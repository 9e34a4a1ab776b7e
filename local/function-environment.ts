/** What the two functions for direct invocation serve, as docs/direct.md splits them. */
export const SEALING = 'encrypt,rewrap,encrypt-batch,rewrap-batch,encrypt-fields';
export const OPENING = 'decrypt,decrypt-batch,decrypt-fields';

/** Where a function's keys are. */
export interface KeyPlaces {
  /** The endpoints of the emulators. */
  readonly kms: string;
  readonly dynamoDb: string;
  /** The ARN of each region's KMS key; the first region is the function's own. */
  readonly keys: Readonly<Record<string, string>>;
}

/** The environment variables of a function that works on emulators: all that it must have, but for whose keys it uses. */
export function functionEnvironment({ kms, dynamoDb, keys }: KeyPlaces): Record<string, string> {
  const [region = ''] = Object.keys(keys);
  return {
    AWS_REGION: region,
    AWS_ACCESS_KEY_ID: 'local',
    AWS_SECRET_ACCESS_KEY: 'local',
    AWS_ENDPOINT_URL_KMS: kms,
    POWERTOOLS_DEV: 'false',
    KEYFOLD_KMS_KEYS: JSON.stringify(keys),
    KEYFOLD_DYNAMODB_ENDPOINT: dynamoDb,
  };
}
