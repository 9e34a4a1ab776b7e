import type { CallFault } from '../../connections/call-fault.ts';
import { faultText } from '../../connections/call-fault.ts';
import { signatureFaultNamed } from '../../connections/signature-fault.ts';

/** The result of one check of `keyfold doctor`. */
export interface HealthCheck {
  /** What was checked, such as `kms us-west-2 rotation`. */
  readonly check: string;
  /**
   * - `ok`: nothing to do.
   * - `warn`: works, but an operator should act.
   * - `fault`: does not work, or will stop working.
   * - `skip`: could not be checked, for example because another check has failed, the endpoint lacks the action, or AWS
   *   refused a call.
   */
  readonly state: 'ok' | 'warn' | 'fault' | 'skip';
  readonly says: string;
  /** What the operator should do. Present with `warn` and `fault`. */
  readonly fix?: string;
}

/** The result of a check that found no problem. */
export function ok(check: string, says: string): HealthCheck {
  return { check, state: 'ok', says };
}

export function warn(check: string, says: string, fix: string): HealthCheck {
  return { check, state: 'warn', says, fix };
}

export function fault(check: string, says: string, fix: string): HealthCheck {
  return { check, state: 'fault', says, fix };
}

export function skip(check: string, says: string): HealthCheck {
  return { check, state: 'skip', says };
}

/** The AWS action that a check calls, and the service that responds. */
export interface CheckedCall {
  readonly check: string;
  /** The action, such as `kms:DescribeKey`. */
  readonly action: string;
  /** The service, such as `KMS in us-west-2`. */
  readonly service: string;
}

/**
 * Explains a failure that was caused by permissions, credentials, the network or throttling. Returns undefined for any
 * other cause, such as a disabled key or a missing table.
 * @param matters whether Keyfold makes this call too. If only the doctor makes it, a missing permission is only a
 * warning.
 */
export function failedCall(
  { check, action, service }: CheckedCall,
  failed: CallFault,
  matters: boolean,
): HealthCheck | undefined {
  const says = `${action} failed: ${faultText(failed)}`;
  const { name } = failed;
  if (name === 'AccessDeniedException') {
    const fix = `allow ${action} in the role's policy and in the policy of the key or table`;
    return matters ? fault(check, says, fix) : warn(check, says, fix);
  }
  if (name === 'UnknownOperationException') {
    const lacks = `the endpoint does not have ${action}`;
    return matters ? fault(check, lacks, routeTo(service)) : skip(check, lacks);
  }
  if (name === 'CredentialsProviderError' || signatureFaultNamed(name) === 'credentials')
    return fault(
      check,
      says,
      'renew the credentials of this machine: aws sts get-caller-identity tells whether they work',
    );
  if (signatureFaultNamed(name) === 'clock') {
    const fix = 'set the clock of this machine by NTP or, if the clock is right, correct the secret access key';
    return fault(check, says, fix);
  }
  if (/Throttl|LimitExceeded|TooManyRequests/.test(name))
    return fault(check, says, 'find the caller that uses up the quota, or raise it: docs/runbooks/kms-throttles.md');
  if (NOT_THE_SERVICE.test(name)) return fault(check, says, routeTo(service));
  return undefined;
}

/**
 * Names of errors that show that the service did not respond, or that another server responded. The SDK calls a
 * response without an error name `Unknown`.
 */
const NOT_THE_SERVICE = /^E[A-Z_]+$|Timeout|^TypeError$|^SyntaxError$|^Unknown$|^NotFound$|Internal|Unavailable/;

function routeTo(service: string): string {
  return `check the route to ${service}, and the endpoint in the settings`;
}
