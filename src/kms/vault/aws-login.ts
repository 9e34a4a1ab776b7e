import { partition } from '@aws-sdk/core/client';
import { SignatureV4 } from '@smithy/signature-v4';
import { Sha256 } from '../../crypto/sha256.ts';
import { isIdentity, type Credentials } from '../../connections/sdk-client.ts';

/** The AWS identity for a login, and where Vault sends the request that proves the identity. */
interface AwsLogin {
  readonly credentials: Credentials;
  /** If undefined, Vault sends the request to the global endpoint of STS. */
  readonly region?: string | undefined;
  /** The header value that this Vault server requires. It prevents another server from using the request. */
  readonly serverId?: string | undefined;
}

const BODY = 'Action=GetCallerIdentity&Version=2011-06-15';

/**
 * A signed request to AWS STS that proves the identity of this process, in the form that Vault's auth method `aws`
 * takes. Vault sends the request to STS. The request does not contain the secret key.
 * @throws TypeError if the credential provider returns anything other than credentials
 */
export async function signedIdentity(login: AwsLogin, now: Date): Promise<object> {
  const { region = 'us-east-1', serverId, credentials } = login;
  const identity: unknown = typeof credentials === 'function' ? await credentials() : credentials;
  if (typeof identity !== 'object' || identity === null || !isIdentity(identity)) {
    throw new TypeError('options.auth.credentials must return credentials.');
  }
  const host = login.region === undefined ? 'sts.amazonaws.com' : `sts.${region}.${partition(region).dnsSuffix}`;
  const signer = new SignatureV4({ service: 'sts', region, credentials: identity, sha256: Sha256 });
  const { headers } = await signer.sign(
    {
      method: 'POST',
      protocol: 'https:',
      hostname: host,
      path: '/',
      headers: {
        host,
        'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
        ...(serverId !== undefined && { 'x-vault-aws-iam-server-id': serverId }),
      },
      body: BODY,
    },
    { signingDate: now },
  );
  return {
    iam_http_request_method: 'POST',
    iam_request_url: base64(`https://${host}/`),
    iam_request_body: base64(BODY),
    iam_request_headers: base64(JSON.stringify(headers)),
  };
}

function base64(text: string): string {
  return Buffer.from(text).toString('base64');
}
