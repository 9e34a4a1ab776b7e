import { endpointFaults } from '../../input/endpoint.ts';
import { isLocalHost } from '../../input/local-host.ts';

/** Whether a string is one or more names separated by slashes, such as a mount path or a namespace. */
export function isPathSegments(text: string): boolean {
  return text.length <= 512 && text.split('/').every(isName);
}

/** Whether a string is a name in a Vault path. Vault refuses names that begin or end with a dot or a hyphen. */
export function isName(text: string): boolean {
  return /^\w(?:[\w.-]{0,254}\w)?$/.test(text);
}

/** Returns the reason why a string cannot be a Vault address. Returns undefined if the string can be one. */
export function addressFault(address: string): string | undefined {
  const [fault] = endpointFaults(address);
  if (fault !== undefined) return fault;
  const { protocol, hostname } = new URL(address);
  if (protocol === 'https:' || isLocalHost(hostname)) return undefined;
  return 'must begin with https:, because the token and the keys are in the requests';
}
