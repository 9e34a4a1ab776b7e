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
  return [search, hash, username, password].some((part) => part !== '')
    ? ['has a query, a fragment or credentials']
    : [];
}

/** A host of DynamoDB or KMS on AWS, also with FIPS, of one account or of a VPC endpoint. It captures the region. */
const AWS_HOST =
  /(?:^|\.)(?:(?:dynamodb|kms)(?:-fips)?|ddb)\.([a-z0-9-]+)\.(?:vpce\.)?(?:amazonaws\.com|api\.aws|api\.amazonwebservices\.com)/;

/** Whether an endpoint is AWS's in another region. AWS refuses every request that is signed for another region. */
export function isOfOtherRegion(endpoint: string, region: string): boolean {
  const [, named = region] = AWS_HOST.exec(URL.canParse(endpoint) ? new URL(endpoint).hostname : '') ?? [];
  return named !== region;
}
