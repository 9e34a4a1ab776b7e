/**
 * Names of the AWS errors for a signature whose time is too far from AWS's own time. Either the caller's clock is
 * wrong, or sending the request took too long.
 */
const CLOCK_FAULTS = new Set([
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'IncompleteSignature',
  'IncompleteSignatureException',
  'RequestExpired',
  'RequestInTheFuture',
  'RequestTimeTooSkewed',
]);

/** Names of AWS errors for credentials that have expired, or that AWS does not know yet. */
const CREDENTIAL_FAULTS = new Set([
  'ExpiredToken',
  'ExpiredTokenException',
  'TokenRefreshRequired',
  'UnrecognizedClientException',
  'InvalidClientTokenId',
  'InvalidClientTokenIdException',
  'InvalidAccessKeyId',
  'InvalidToken',
  'MissingAuthenticationToken',
  'MissingAuthenticationTokenException',
]);

/** What the caller must correct before it signs and sends the request again. */
export type SignatureFault = 'clock' | 'credentials';

/**
 * Returns why AWS rejected a request's signature, from the name of the error. Returns undefined for any other error.
 */
export function signatureFaultNamed(errorName: string): SignatureFault | undefined {
  if (CREDENTIAL_FAULTS.has(errorName)) return 'credentials';
  return CLOCK_FAULTS.has(errorName) ? 'clock' : undefined;
}

/**
 * Returns why AWS rejected a request's signature, from the error of the AWS SDK. Returns undefined for any other error.
 */
export function signatureFaultOf(error: unknown): SignatureFault | undefined {
  const { name = '', $metadata } = (error ?? {}) as {
    readonly name?: string;
    readonly $metadata?: { readonly clockSkewCorrected?: boolean };
  };
  // The SDK sets `clockSkewCorrected` if the response's date showed that the clock is wrong.
  if (name === 'AccessDeniedException' && $metadata?.clockSkewCorrected === true) return 'clock';
  return signatureFaultNamed(name);
}
