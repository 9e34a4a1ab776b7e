/** Whether the host name in a URL is this machine. Plain HTTP to this machine does not cross a network. */
export function isLocalHost(hostname: string): boolean {
  return /^(?:localhost|127\.0\.0\.1|\[::1\])$/.test(hostname);
}
