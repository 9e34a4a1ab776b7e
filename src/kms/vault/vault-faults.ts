import { signatureFaultNamed } from '../../connections/signature-fault.ts';
import { RegionFault, type FaultClass, type KmsAction } from '../region-fault.ts';
import type { VaultAnswer } from './vault-http.ts';

/** The error messages of Vault and OpenBao for a ciphertext that no version of the key can open. */
const CORRUPT = /invalid ciphertext|authentication failed|unable to decrypt|base64/i;
/**
 * Matches the messages for a ciphertext whose key version is below `min_decryption_version`, was trimmed, or does not
 * exist yet.
 */
const VERSION_REFUSED = /disallowed by policy|version is too new/i;
const KEY_NOT_FOUND = /key not found/i;
/** Matches the messages with which a standby node responds if it does not forward requests. */
const STANDBY = /not active|standby/i;

/** Vault's error messages for an AWS login: Vault could not reach STS, or STS responded with an error. */
const STS_NOT_REACHED = /error making request/i;
const STS_STATUS = /received error code (\d{3}) from STS/i;
const STS_ERROR = /<Code>(\w{1,64})<\/Code>/;

/**
 * Converts an unsuccessful response from Vault to a fault. The fault omits the texts of the response, because the
 * server at a wrong address might repeat the request in them.
 * @param step whether Vault responded to the request itself, or to a login before it
 */
export function faultOf(
  region: string,
  action: KmsAction,
  step: 'transit' | 'login',
  { status, body }: VaultAnswer,
): RegionFault {
  const { errors } = body;
  const text = Array.isArray(errors) ? errors.filter((error) => typeof error === 'string').join(' ') : '';
  const [faultClass, errorName] = classOf(status, text, step === 'login' ? 'login' : action);
  return new RegionFault(region, action, faultClass, errorName);
}

function classOf(status: number, text: string, request: KmsAction | 'login'): [FaultClass, string] {
  if (status === 429) return ['throttled', 'RateLimited'];
  if (status === 503 && /sealed/i.test(text)) return ['unavailable', 'Sealed'];
  const isRedirect = status >= 300 && status < 400;
  if (isRedirect || status === 472 || status === 473 || (status >= 500 && STANDBY.test(text))) {
    return ['unavailable', 'Standby'];
  }
  // 412: this replica has not yet seen the write that the token depends on.
  if (status >= 500 || [408, 412, 425].includes(status)) return ['unavailable', `HttpStatus${status}`];
  if (status < 400) return ['unavailable', 'IncompleteAnswer'];
  if (request === 'login') return classOfLogin(text);
  if (status === 401 || status === 403) return ['misconfigured', 'PermissionDenied'];
  if (status === 404) return ['misconfigured', 'NotFound'];
  if (KEY_NOT_FOUND.test(text)) return ['misconfigured', 'KeyNotFound'];
  if (VERSION_REFUSED.test(text)) return ['misconfigured', 'KeyVersionRefused'];
  if (request === 'Decrypt' && status === 400 && CORRUPT.test(text)) return ['corrupt', 'InvalidCiphertext'];
  return ['misconfigured', `HttpStatus${status}`];
}

/**
 * Classifies the error text of a refused login. An AWS login also depends on STS, on this machine's clock and on
 * credentials that expire, so such a refusal may be temporary.
 */
function classOfLogin(text: string): [FaultClass, string] {
  const [, status = 400] = STS_STATUS.exec(text) ?? [];
  const [, error = ''] = STS_ERROR.exec(text) ?? [];
  if (Number(status) === 429 || Number(status) >= 500 || error === 'Throttling' || STS_NOT_REACHED.test(text)) {
    return ['unavailable', 'StsUnavailable'];
  }
  return signatureFaultNamed(error) === undefined ? ['misconfigured', 'LoginRefused'] : ['unavailable', 'StsRefused'];
}
