import { steadyClock, type Clock } from '../../async/clock.ts';
import { withDeadline } from '../../async/deadline.ts';
import { randomKeyBytes } from '../../crypto/random.ts';
import type { KeyManagementService } from '../../envelope/ports.ts';
import { KeyfoldError } from '../../errors.ts';
import { fault, ok, type HealthCheck } from './check.ts';

const TIMEOUT_MS = 10_000;

/**
 * Checks that a key service wraps a key and unwraps it again.
 * @param check the name of the check
 * @param kms the KMS at one Vault address, or the HSM with one token
 * @param fix the page that tells the operator what to do
 */
export async function checkCalls(
  check: string,
  kms: KeyManagementService,
  fix: string,
  now: Clock,
): Promise<HealthCheck> {
  const steady = steadyClock(now);
  const startedMs = steady();
  try {
    const answer = await withDeadline({ deadlineAtMs: now() + TIMEOUT_MS }, now, async (deadline) => {
      const wrapped = await kms.wrap(randomKeyBytes(), deadline);
      return kms.unwrap('wrapped' in wrapped ? wrapped.wrapped : wrapped, deadline);
    });
    if (!('key' in answer)) return fault(check, `the wrap does not open: ${answer.unreadable}`, fix);
    answer.key.fill(0);
    return ok(check, `encrypt and decrypt ${Math.round(steady() - startedMs)} ms`);
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    return fault(check, error.message, fix);
  }
}
