import { endpointFaults } from '../../input/endpoint.ts';

const LOCAL_HOST = /^(?:localhost|127\.0\.0\.1|\[::1\])$/;

/** Whether a string is one or more names separated by slashes, such as a mount path or a namespace. */
export function isPathSegments(text: string): boolean {
  return text.length <= 512 && text.split('/').every(isName);
}

/** Whether a text is a name in a path of Vault. Vault refuses names that begin or end with a dot or a hyphen. */
export function isName(text: string): boolean {
  return /^\w(?:[\w.-]{0,254}\w)?$/.test(text);
}

/** Says why a text cannot be an address of Vault. Undefined if it can. */
export function addressFault(address: string): string | undefined {
  const [fault] = endpointFaults(address);
  if (fault !== undefined) return fault;
  const { protocol, hostname } = new URL(address);
  if (protocol === 'https:' || LOCAL_HOST.test(hostname)) return undefined;
  return 'must begin with https:, because the token and the keys are in the requests';
}
