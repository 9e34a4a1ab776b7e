import * as v from 'valibot';
import { endpointFaults, isHttpUrl } from '../input/endpoint.ts';
import { CREATE_DATE_PRECISION_MS, MAX_NONCES } from '../envelope/crypto-policy.ts';
import { KeyfoldError } from '../errors.ts';
import { isTableName, NO_TABLE_NAME } from '../metastore/table-name.ts';
import { isPartition, isRegionName } from '../records/ids.ts';
import { locateValues } from '../operations/json-text.ts';
import { isOperationName } from '../operations/operation-name.ts';
import { DEFAULT_LIMITS } from '../operations/operation.ts';
import { isQueueUrl } from '../sqs/message.ts';

const NO_DATE = 'is neither a date such as 2026-11-28T00:00:00Z nor whole seconds since 1970';
const NO_STRINGS = 'is not a JSON array of strings';
export const text = v.pipe(v.string(), v.nonEmpty('is empty'));
const count = v.pipe(v.string(), v.regex(/^[1-9]\d{0,14}$/, 'is not a positive whole number'), v.transform(Number));
const countOrZero = v.pipe(v.string(), v.regex(/^(?:0|[1-9]\d{0,14})$/, 'is not a whole number'), v.transform(Number));
const flag = v.pipe(
  v.picklist(['true', 'false'], 'is neither true nor false'),
  v.transform((value) => value === 'true'),
);
/** A comma-separated list. */
export const list = v.pipe(text, v.transform(itemsOf));
const operations = v.pipe(
  list,
  v.everyItem(isOperationName, 'lists an unknown operation'),
  v.transform((names) => names.filter(isOperationName)),
);
/**
 * A comma-separated list, or a JSON array. A partition that contains a comma, or begins or ends with a space, needs the
 * array.
 */
const partitions = v.pipe(
  text,
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    if (!dataset.value.startsWith('[')) return itemsOf(dataset.value);
    const items = stringsOf(dataset.value);
    if (items !== undefined) return items;
    addIssue({ message: NO_STRINGS });
    return NEVER;
  }),
  v.everyItem(
    (item) => item === '*' || (/^[^*]+\*?$/.test(item) && isPartition(item.replace(/\*$/, ''))),
    'lists an entry that is neither a partition nor a prefix followed by *',
  ),
);
/**
 * The name of a JWT claim. It must not contain a backslash, because `JSON.parse` in Lambda can confuse two names if one
 * of them contains a backslash.
 */
const claimName = v.pipe(
  text,
  v.regex(/^(?!\s)[^"\\\p{C}]*(?<!\s)$/u, 'holds a quote, a backslash, a control character or a space at an end'),
);
const fields = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const paths = stringsOf(dataset.value);
    if (paths !== undefined) return paths;
    addIssue({ message: NO_STRINGS });
    return NEVER;
  }),
);
/** The URL of an SQS queue. The scheme is checked because an ARN also parses as a URL. */
const queueUrl = v.pipe(
  v.string(),
  v.check(isHttpUrl, 'is not a URL'),
  v.check((value) => !isHttpUrl(value) || isQueueUrl(value), 'is not the URL of a queue: …/ACCOUNT/NAME'),
);
/** The name or the ARN of a DynamoDB table. */
const table = v.pipe(v.string(), v.check(isTableName, NO_TABLE_NAME));
export const region = v.pipe(v.string(), v.check(isRegionName, 'is not the name of an AWS region'));
const endpoint = v.pipe(
  v.string(),
  v.check(
    (value) => endpointFaults(value).length === 0,
    ({ input }) => endpointFaults(input).join(),
  ),
);
/**
 * A delay in seconds. SQS allows a visibility timeout of at most 12 hours after the receipt, and one invocation may
 * already have used 15 minutes of that time.
 */
const hiddenSeconds = v.pipe(count, v.maxValue(42_300, 'is more than 42300'));
/** A date in ISO 8601 with `Z`, or in whole seconds since 1970. Its value is in seconds. */
const date = v.pipe(
  v.string(),
  v.regex(/^(?:[1-9]\d{8,10}|\d{4}-\d\d-\d\dT\d\d:\d\d(?::\d\d(?:\.\d+)?)?Z)$/, NO_DATE),
  v.transform((value) => (/^\d+$/.test(value) ? Number(value) : secondsOf(value))),
  v.number(NO_DATE),
  v.transform(Math.ceil),
);
const regionMap = v.pipe(
  v.string(),
  v.rawTransform(({ dataset, addIssue, NEVER }) => {
    const map = parseRegionMap(dataset.value);
    if (map === undefined) addIssue({ message: 'is not a JSON object of region to ARN' });
    else if (hasDuplicateNames(dataset.value)) addIssue({ message: 'names a region twice' });
    else return map;
    return NEVER;
  }),
);

/**
 * The highest value for the plaintext limit. A larger plaintext in base64 would not fit into Lambda's response of 6 MB.
 */
const MAX_PLAINTEXT_BYTES = 4 * 1024 * 1024;

/**
 * The highest limit for the number of items in a batch. This many records fit into Lambda's response, even if their
 * plaintexts together reach the largest plaintext limit.
 */
const MAX_ITEMS = 1000;

/** The longest deadline margin. An HTTP request may take at most 28 s, so a longer margin would leave it no time. */
const MAX_MARGIN_MS = 27_000;

/**
 * All settings other than Vault's, keyed by environment variable without the prefix `KEYFOLD_`. The name of a quantity
 * ends with its unit.
 */
export const settingsSchema = v.object({
  SERVICE: text,
  PRODUCT: text,
  ALLOW_AMBIGUOUS_NAMES: v.optional(flag),
  REGION_SUFFIX: v.optional(text),
  KMS: v.optional(v.picklist(['aws', 'vault'], 'is neither aws nor vault')),
  KMS_KEYS: v.optional(regionMap),
  PREFERRED_REGION: v.optional(region),
  ON_KEY_REFUSED: v.optional(v.picklist(['failover', 'fail'], 'is neither failover nor fail')),
  MINIMUM_WRAPPED_REGIONS: v.optional(count),
  STATIC_MASTER_KEY_HEX: v.optional(v.pipe(v.string(), v.regex(/^[0-9a-fA-F]{64}$/, 'is not 64 hexadecimal digits'))),
  STATIC_KMS_OVERRIDE: v.optional(text),
  TABLE: v.optional(table),
  DYNAMODB_REGION: v.optional(region),
  DYNAMODB_ENDPOINT: v.optional(endpoint),
  EXPIRE_AFTER_MS: v.optional(
    v.pipe(count, v.minValue(CREATE_DATE_PRECISION_MS, `is less than ${CREATE_DATE_PRECISION_MS}`)),
  ),
  REVOKE_CHECK_INTERVAL_MS: v.optional(count),
  MIN_SEALING_CREATED: v.optional(date),
  MIN_OPENING_CREATED: v.optional(date),
  KEY_ROW_PROOFS: v.optional(v.picklist(['verify', 'require'], 'is neither verify nor require')),
  REQUIRE_CONTEXT: v.optional(v.picklist(['off', 'seal', 'always'], 'is none of off, seal, always')),
  UNBOUND_BEFORE: v.optional(date),
  STALE_GRACE_MS: v.optional(countOrZero),
  SYSTEM_KEY_MAX_AGE_MS: v.optional(count),
  INTERMEDIATE_KEY_MAX_AGE_MS: v.optional(count),
  MAX_INTERMEDIATE_KEYS: v.optional(count),
  DATA_ROW_KEY_MAX_MESSAGES: v.optional(v.pipe(count, v.maxValue(MAX_NONCES, `is more than ${MAX_NONCES}`))),
  DATA_ROW_KEY_MAX_AGE_MS: v.optional(count),
  PRELOAD_SYSTEM_KEY: v.optional(flag, 'false'),
  AUTH: v.optional(v.picklist(['iam', 'jwt', 'authorizer', 'none'], 'is none of iam, jwt, authorizer, none'), 'iam'),
  JWT_PARTITIONS_CLAIM: v.optional(claimName),
  JWT_PARTITION_LISTS: v.optional(flag),
  JWT_PARTITION_WILDCARDS: v.optional(flag),
  JWT_SCOPE_CLAIM: v.optional(claimName),
  PLAINTEXT_LIMIT_BYTES: v.optional(
    v.pipe(count, v.maxValue(MAX_PLAINTEXT_BYTES, `is more than ${MAX_PLAINTEXT_BYTES}`)),
    String(DEFAULT_LIMITS.plaintextLimitBytes),
  ),
  MAX_ITEMS: v.optional(
    v.pipe(count, v.maxValue(MAX_ITEMS, `is more than ${MAX_ITEMS}`)),
    String(DEFAULT_LIMITS.maxItems),
  ),
  OPERATIONS: v.optional(operations),
  PARTITIONS: v.optional(partitions),
  DEADLINE_MARGIN_MS: v.optional(v.pipe(count, v.maxValue(MAX_MARGIN_MS, `is more than ${MAX_MARGIN_MS}`)), '500'),
  FIELDS: v.optional(fields),
  OUTPUT_QUEUE_URL: v.optional(queueUrl),
  DEAD_LETTER_QUEUE_URL: v.optional(queueUrl),
  LONGEST_RETRY_DELAY_SECONDS: v.optional(hiddenSeconds, '900'),
});

/** Names of former settings. Their values are now constants, because no operator had a reason to change them. */
export const REMOVED_SETTINGS: ReadonlySet<string> = new Set([
  'KMS_CONNECTION_TIMEOUT_MS',
  'KMS_REQUEST_TIMEOUT_MS',
  'MAX_ROUNDS',
  'BASE_DELAY_MS',
  'LONGEST_DELAY_MS',
  'THROTTLED_DELAY_MS',
  'FIRST_COOL_DOWN_MS',
  'LONGEST_COOL_DOWN_MS',
  'DYNAMODB_CONNECTION_TIMEOUT_MS',
  'DYNAMODB_REQUEST_TIMEOUT_MS',
  'CREATE_DATE_PRECISION_MS',
  'MAX_SYSTEM_KEYS',
  'DATA_ROW_KEY_MAX_BYTES',
  'RETRY_DELAY_SECONDS',
]);

/** The parsed settings. */
export type Settings = v.InferOutput<typeof settingsSchema>;

/**
 * The seconds of a date. NaN for a day that does not exist, such as 31 February, which `Date` would turn into a later
 * day.
 */
function secondsOf(value: string): number {
  const read = new Date(value);
  return read.toJSON()?.slice(0, 10) === value.slice(0, 10) ? +read / 1000 : Number.NaN;
}

function parseRegionMap(value: string): Record<string, string> | undefined {
  const parsed = parseJson(value);
  return !Array.isArray(parsed) && v.is(v.record(v.string(), v.string()), parsed) ? parsed : undefined;
}

/**
 * Whether a JSON text contains an object in which a name is repeated. `JSON.parse` would silently keep only the last
 * value.
 */
function hasDuplicateNames(value: string): boolean {
  try {
    locateValues(value);
    return false;
  } catch (error) {
    if (error instanceof KeyfoldError) return true;
    throw error;
  }
}

function itemsOf(value: string): string[] {
  return value.split(',').map((item) => item.trim());
}

/** Parses a JSON array of strings. Undefined for any other text and for an empty array. */
function stringsOf(value: string): string[] | undefined {
  const parsed = parseJson(value);
  return v.is(v.pipe(v.array(v.string()), v.minLength(1)), parsed) ? parsed : undefined;
}

/** Parses JSON. Undefined if the text is not JSON. */
function parseJson(value: string): unknown {
  try {
    return JSON.parse(value);
  } catch {
    return undefined;
  }
}
