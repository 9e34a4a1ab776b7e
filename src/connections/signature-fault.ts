/** AWS refuses a signature for its time: the clock is wrong, or the request took long to be sent. */
const CLOCK_FAULTS = new Set([
  'InvalidSignatureException',
  'SignatureDoesNotMatch',
  'IncompleteSignature',
  'IncompleteSignatureException',
  'RequestExpired',
  'RequestInTheFuture',
  'RequestTimeTooSkewed',
]);

/** Credentials that have just ended, or that AWS does not know yet. */
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

/** What to correct before a request is signed and sent once more. */
export type SignatureFault = 'clock' | 'credentials';

/** Why AWS refused a request's signature, by the name of its error; undefined for any other failure. */
export function signatureFaultNamed(errorName: string): SignatureFault | undefined {
  if (CREDENTIAL_FAULTS.has(errorName)) return 'credentials';
  return CLOCK_FAULTS.has(errorName) ? 'clock' : undefined;
}

/** As {@link signatureFaultNamed}, of what the AWS SDK throws. */
export function signatureFaultOf(error: unknown): SignatureFault | undefined {
  const { name = '', $metadata } = (error ?? {}) as {
    readonly name?: string;
    readonly $metadata?: { readonly clockSkewCorrected?: boolean };
  };
  // The SDK sets the mark when the answer's date has shown that the clock is off.
  if (name === 'AccessDeniedException' && $metadata?.clockSkewCorrected === true) return 'clock';
  return signatureFaultNamed(name);
}
