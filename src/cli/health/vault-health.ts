import type { Clock } from '../../async/clock.ts';
import { withDeadline } from '../../async/deadline.ts';
import { randomKeyBytes } from '../../crypto/random.ts';
import type { KeyManagementService } from '../../envelope/ports.ts';
import { KeyfoldError } from '../../errors.ts';
import { fault, ok, type HealthCheck } from './check.ts';

const TIMEOUT_MS = 10_000;
const FIX = 'docs/how-to/use-vault.md#if-something-goes-wrong';

/**
 * Checks that Vault wraps a key at one address, and unwraps it there again.
 * @param kms a KMS that has only this address
 */
export async function checkVault(address: string, kms: KeyManagementService, now: Clock): Promise<HealthCheck> {
  const check = `vault ${address} calls`;
  const startedMs = now();
  try {
    const answer = await withDeadline({ deadlineAtMs: startedMs + TIMEOUT_MS }, now, async (deadline) => {
      const wrapped = await kms.wrap(randomKeyBytes(), deadline);
      return kms.unwrap('wrapped' in wrapped ? wrapped.wrapped : wrapped, deadline);
    });
    if (!('key' in answer)) return fault(check, `the wrap does not open: ${answer.unreadable}`, FIX);
    answer.key.fill(0);
    return ok(check, `encrypt and decrypt ${now() - startedMs} ms`);
  } catch (error) {
    if (!(error instanceof KeyfoldError)) throw error;
    return fault(check, error.message, FIX);
  }
}
