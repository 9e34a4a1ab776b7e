import * as v from 'valibot';
import { arn, REGION, text, whole } from './option-types.ts';

const FUNCTION = /^arn:aws[a-z-]*:lambda:[a-z0-9-]+:\d{12}:function:[A-Za-z0-9_-]{1,64}(?::[A-Za-z0-9_-]{1,128})?$/;
const CALLER = /^arn:aws[a-z-]*:iam::\d{12}:(?:root|(?:role|user)(?:\/[\w+=,.@-]+)+)$/;
/**
 * A partition, as an IAM policy matches it in the request path: its whole name, or a prefix that ends with an asterisk.
 */
const GRANTED_PARTITION = /^[A-Za-z0-9._~-]{0,127}\*$|^(?!\.{1,2}$)[A-Za-z0-9._~-]{1,128}$/;
const CERTIFICATE = /^arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate\/[0-9a-f-]{36}$/;
const DOMAIN = /^(?=.{1,253}$)(?:[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}$/;
/** An asterisk is not allowed, because it would let every web page send requests with the browser's credentials. */
const ORIGIN = /^https:\/\/(?:[a-z0-9-]+\.)*[a-z0-9-]+(?::\d{1,5})?$/;

/** The `http` options: the authorizer, and the limits for all callers together. */
export const httpOptions = v.optional(
  v.strictObject({
    auth: v.optional(v.picklist(['iam', 'jwt', 'authorizer'], 'must be iam, jwt or authorizer'), 'iam'),
    authorizers: v.optional(v.record(REGION, arn(FUNCTION, 'is not the ARN of a Lambda function'))),
    authorizerCacheSeconds: v.optional(whole(0, 3600)),
    issuer: v.optional(
      v.pipe(v.string(), v.url('is not a URL'), v.regex(/^https:\/\/[^?#\s]+$/, 'is not an https URL')),
    ),
    audience: v.optional(
      v.pipe(
        v.array(text),
        v.minLength(1, 'must have at least one entry'),
        v.maxLength(50, 'names more than 50 entries, the maximum of API Gateway'),
      ),
    ),
    partitionsClaim: v.optional(text),
    partitionLists: v.optional(v.boolean()),
    partitionWildcards: v.optional(v.boolean()),
    // API Gateway reads the scopes of a token only from these two claims.
    scopeClaim: v.optional(v.picklist(['scope', 'scp'], 'is neither scope nor scp')),
    requestsPerSecond: v.optional(whole(1, 100_000), 1000),
    burst: v.optional(whole(1, 100_000), 500),
  }),
  {},
);

/** The `api` options: the entry that callers use. */
export const apiOptions = v.optional(
  v.strictObject({
    type: v.optional(
      v.picklist(['http', 'rest', 'private', 'functionUrl'], 'must be http, rest, private or functionUrl'),
      'http',
    ),
    domain: v.optional(
      v.strictObject({
        name: v.pipe(v.string(), v.regex(DOMAIN, 'is not a domain name')),
        certificates: v.record(REGION, arn(CERTIFICATE, 'is not the ARN of a certificate')),
      }),
    ),
    cors: v.optional(
      v.strictObject({
        origins: v.pipe(
          v.array(v.pipe(v.string(), v.regex(ORIGIN, 'is not an https origin'))),
          v.minLength(1, 'must have at least one entry'),
        ),
      }),
    ),
    vpcEndpoints: v.optional(
      v.record(
        REGION,
        v.pipe(
          v.array(v.pipe(v.string(), v.regex(/^vpce-[0-9a-f]{8,17}$/, 'is not the ID of a VPC endpoint'))),
          v.minLength(1, 'must have at least one entry'),
        ),
      ),
    ),
    callers: v.optional(
      v.pipe(
        v.array(
          v.strictObject({
            principal: arn(CALLER, 'is not the ARN of a role, a user or the root of an account'),
            partitions: v.pipe(
              v.array(v.pipe(v.string(), v.regex(GRANTED_PARTITION, 'is not a valid partition'))),
              v.minLength(1, 'must have at least one entry'),
            ),
          }),
        ),
        v.minLength(1, 'must have at least one entry'),
      ),
    ),
    usagePlans: v.optional(
      v.record(
        v.pipe(
          v.string(),
          v.regex(/^[A-Za-z][A-Za-z0-9]{0,39}$/, 'must have only letters and digits, and begin with a letter'),
        ),
        v.strictObject({
          requestsPerSecond: whole(1, 10_000),
          burst: whole(1, 5000),
          requestsPerDay: v.optional(whole(1, 2_000_000_000)),
        }),
      ),
    ),
  }),
  {},
);
