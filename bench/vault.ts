/**
 * Benchmark section: compares the time to load a System Key through VaultKms with the time of a raw call to Vault's
 * transit engine.
 */
import { Agent, request } from 'node:http';
import { json } from 'node:stream/consumers';
import { noDeadline } from '../src/async/deadline.ts';
import { MemoryMetastore, SessionFactory } from '../src/index.ts';
import { VaultKms } from '../src/kms/vault/index.ts';
import { installPython } from '../test/peers/install.ts';
import { OpenBao, ROOT } from '../test/peers/openbao.ts';
import { race, timesAsLong } from './compare.ts';
import type { SectionResult } from './figures.ts';

const NAMES = { service: 'bench', product: 'keyfold' };
const TRANSIT_KEY = 'bench';
const HEADERS = { 'x-vault-token': ROOT };

/**
 * Measures with a real OpenBao server, over connections that stay open. A load is a decrypt in a process without keys:
 * it reads two rows in memory, unwraps the System Key and opens a record. An unwrap is the one call to Vault that a
 * load makes.
 */
export async function measureVault(): Promise<SectionResult> {
  await installPython('openbao');
  const bao = await OpenBao.start();
  try {
    await bao.write(`transit/keys/${TRANSIT_KEY}`, {});
    const kms = new VaultKms({
      addresses: [bao.url],
      transitKey: TRANSIT_KEY,
      auth: { method: 'token', token: ROOT },
    });
    const metastore = new MemoryMetastore();
    const open = (): SessionFactory => new SessionFactory({ ...NAMES, metastore, kms });
    const record = await open().session('p').encrypt(Buffer.from('x'));
    const wrapped = await kms.wrap(Buffer.alloc(32), noDeadline());
    const body = JSON.stringify({ ciphertext: Buffer.from(wrapped).toString() });
    const url = `${bao.url}/v1/transit/decrypt/${TRANSIT_KEY}`;
    const agent = new Agent({ keepAlive: true });
    const { load, unwrap, byFetch, byHttp } = await race({
      load: () => open().session('p').decrypt(record),
      unwrap: () => kms.unwrap(wrapped, noDeadline()),
      byFetch: () => fetch(url, { method: 'POST', headers: HEADERS, body }).then((answer) => answer.json()),
      byHttp: () => decryptByHttp(url, agent, body),
    });
    agent.destroy();
    return {
      figures: [
        { name: 'a load against a call with fetch', ...timesAsLong(load, byFetch), unit: '×' },
        { name: 'a load against a call with node:http', ...timesAsLong(load, byHttp), unit: '×' },
        { name: 'an unwrap against a call with fetch', ...timesAsLong(unwrap, byFetch), unit: '×' },
        { name: 'an unwrap against a call with node:http', ...timesAsLong(unwrap, byHttp), unit: '×' },
      ],
    };
  } finally {
    await bao.stop();
  }
}

function decryptByHttp(url: string, agent: Agent, body: string): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request(url, { method: 'POST', agent, headers: HEADERS }, (answer) => resolve(json(answer)))
      .on('error', reject)
      .end(body);
  });
}
