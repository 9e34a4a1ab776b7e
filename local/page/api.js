/** What the world around is like: the regions and their faults, and the rows of the key table. */
export function readState() {
  return control('GET', '/local/state');
}

/** Breaks a region, or mends it where the fault is null. */
export function setFault(region, fault) {
  const path = `/local/regions/${region}/fault`;
  return fault === null ? control('DELETE', path) : control('PUT', path, fault);
}

/** Flags a key as revoked, for good. */
export function revoke({ id, created }) {
  return control('POST', '/local/keys/revoke', { id, created });
}

/** Each region as the process last saw it; makes no call. */
export function readHealth() {
  return control('GET', '/v1/health');
}

/**
 * Makes a request, and tells what it was answered and which calls reached the emulators meanwhile. Those of anybody else who
 * asks at the same time are among them.
 */
export async function ask(path, body = '') {
  const { position } = await control('GET', '/local/calls');
  const startedAt = performance.now();
  const answer = await fetch(path, { method: 'POST', headers: { 'content-type': 'application/json' }, body });
  const text = await answer.text();
  const ms = Math.round(performance.now() - startedAt);
  const { calls } = await control('GET', `/local/calls?since=${position}`);
  return { path, body, ok: answer.ok, status: answer.status, text, ms, calls };
}

async function control(method, path, body) {
  const answer = await fetch(path, { method, ...(body === undefined ? {} : { body: JSON.stringify(body) }) });
  const content = await answer.json();
  if (!answer.ok) throw new Error(content.error ?? `${method} ${path}: ${answer.status}`);
  return content;
}
