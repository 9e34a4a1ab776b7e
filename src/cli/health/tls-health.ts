import type { Environment } from '../../config/app-config.ts';
import { isLocalHost } from '../../input/local-host.ts';
import { fault, type HealthCheck } from './check.ts';

const CHECK = 'tls';
const KMS_ENDPOINTS = ['AWS_ENDPOINT_URL_KMS', 'AWS_ENDPOINT_URL'] as const;

/**
 * Finds environment variables that let another machine on the network read Keyfold's calls, or answer them in place of
 * the real server.
 */
export function checkTls(environment: Environment): HealthCheck[] {
  const faults = KMS_ENDPOINTS.filter((name) => isPlainHttp(environment[name] ?? '')).map((name) =>
    fault(CHECK, `${name} begins with http:, so the network can read the keys`, `begin ${name} with https:`),
  );
  if (environment['NODE_TLS_REJECT_UNAUTHORIZED'] !== '0') return faults;
  const says = 'NODE_TLS_REJECT_UNAUTHORIZED=0: any server can pass for KMS, for Vault and for the table';
  const fix =
    "unset it; if a server has a certificate of your own authority, set NODE_EXTRA_CA_CERTS to that authority's file";
  return [fault(CHECK, says, fix), ...faults];
}

/** Whether a URL leads to another machine without TLS. */
function isPlainHttp(url: string): boolean {
  if (!URL.canParse(url)) return false;
  const { protocol, hostname } = new URL(url);
  return protocol === 'http:' && !isLocalHost(hostname);
}
