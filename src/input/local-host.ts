/** Whether the host name of a URL means this machine, so that plain HTTP does not cross a network. */
export function isLocalHost(hostname: string): boolean {
  return /^(?:localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
}
