/** Reads the state of the local world: its key service, the regions and their faults, and the rows of the key table. */
export function readState() {
  return control('GET', '/local/state');
}

/** Sets the fault of a region. Null clears it. */
export function setFault(region, fault) {
  const path = `/local/regions/${region}/fault`;
  return fault === null ? control('DELETE', path) : control('PUT', path, fault);
}

/** Reads the last state that the process observed for each region, without a call to KMS. */
export function readHealth() {
  return control('GET', '/v1/health');
}

/**
 * Sends a request to the API. Returns the response, and the calls that reached the key service and DynamoDB before the
 * response arrived. These include the calls of other requests that ran at the same time.
 */
export async function post(path, body = '') {
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
