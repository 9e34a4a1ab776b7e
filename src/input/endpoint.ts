/**
 * Whether a string is an HTTP URL. White space and control characters are refused, because the URL parser would
 * silently remove them.
 */
export function isHttpUrl(text: string): boolean {
  return URL.canParse(text) && /^https?:[^\s\p{Cc}]*$/u.test(text);
}

/** Lists why a URL cannot replace AWS's endpoint. Empty if the URL can replace it or is undefined. */
export function endpointFaults(endpoint: string | undefined): string[] {
  if (endpoint === undefined) return [];
  if (!isHttpUrl(endpoint)) return ['is not a URL'];
  const { search, hash, username, password } = new URL(endpoint);
  return search + hash + username + password === '' ? [] : ['has a query, a fragment or credentials'];
}

/** The end of AWS's host names in each public AWS partition, with IPv4 only and with dual stack. */
export const AWS_DOMAIN = /(?:amazonaws\.(?:com(?:\.cn)?|eu)|api\.(?:aws|amazonwebservices\.(?:com\.cn|eu)))\.?$/;

/** A host of DynamoDB or KMS on AWS, also with FIPS, of one account or of a VPC endpoint. It captures the region. */
const AWS_HOST = new RegExp(
  String.raw`(?:^|\.)(?:(?:dynamodb|kms)(?:-fips)?|ddb)\.([a-z0-9-]+)\.(vpce\.)?${AWS_DOMAIN.source}`,
);

function awsHostOf(endpoint: string): RegExpExecArray | null {
  return AWS_HOST.exec(URL.canParse(endpoint) ? new URL(endpoint).hostname : '');
}

/** The region of an endpoint of DynamoDB or KMS on AWS. Undefined for any other URL, such as an emulator's. */
export function awsRegionOf(endpoint: string): string | undefined {
  return awsHostOf(endpoint)?.[1];
}

/** Whether an endpoint is AWS's in another region. AWS refuses every request that is signed for another region. */
export function isOfOtherRegion(endpoint: string, region: string): boolean {
  return (awsRegionOf(endpoint) ?? region) !== region;
}

/**
 * The endpoint to use in another region. For an endpoint of AWS, this is that region's endpoint of the same kind, such
 * as FIPS or dual stack. Undefined for a VPC endpoint of another region, because its name there is not known.
 */
export function endpointIn(region: string, endpoint: string): string | undefined {
  const [, named, isInVpc] = awsHostOf(endpoint) ?? [];
  if (named === undefined || named === region) return endpoint;
  if (isInVpc !== undefined) return undefined;
  const url = new URL(endpoint);
  url.hostname = url.hostname.replace(`.${named}.`, `.${region}.`);
  return url.href;
}
