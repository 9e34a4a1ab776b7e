import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, request as httpRequest, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { close, listen } from '../../emulators/listen.ts';

const run = promisify(execFile);
const PASSWORD = 'password';

/** A proxy that forwards KMS requests to an emulator. */
export interface KmsProxy {
  /** Environment variables with which the AWS SDK in a child process, in any language, uses the emulator. */
  readonly environment: Readonly<Record<string, string>>;
  readonly stop: () => Promise<void>;
}

/**
 * Starts an HTTPS proxy that accepts TLS under KMS's own host names and forwards each request to an emulator. Asherah
 * Go needs this proxy, because version 1 of its AWS SDK has no setting for the KMS endpoint. That SDK reads
 * `HTTPS_PROXY` and `AWS_CA_BUNDLE`. The SDKs of Rust and Java read `AWS_ENDPOINT_URL_KMS`.
 * @param endpoint the address of the emulator
 * @param regions the regions whose host names the certificate covers
 */
export async function startKmsProxy(endpoint: string, regions: readonly string[]): Promise<KmsProxy> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-proxy-'));
  const certificate = join(folder, 'certificate.pem');
  const keyStore = join(folder, 'keys.p12');
  await makeCertificate(keyStore, certificate, regions);
  const tls = createTlsServer({ pfx: await readFile(keyStore), passphrase: PASSWORD }, (incoming, outgoing) =>
    forward(endpoint, incoming, outgoing),
  );
  const proxy = createServer();
  proxy.on('connect', (_, socket) => {
    socket.on('error', () => socket.destroy());
    socket.write('HTTP/1.1 200 Connection established\r\n\r\n');
    tls.emit('connection', socket);
  });
  const port = await listen(proxy, 0);
  return {
    environment: {
      HTTPS_PROXY: `http://127.0.0.1:${port}`,
      AWS_CA_BUNDLE: certificate,
      AWS_ENDPOINT_URL_KMS: endpoint,
    },
    stop: async () => {
      tls.closeAllConnections();
      await close(proxy);
      await rm(folder, { recursive: true });
    },
  };
}

/** Makes a key and a certificate with Java's keytool, because the peers need Java anyway. */
async function makeCertificate(keyStore: string, certificate: string, regions: readonly string[]): Promise<void> {
  const store = ['-alias', 'kms', '-keystore', keyStore, '-storetype', 'PKCS12', '-storepass', PASSWORD];
  const names = regions.map((region) => `dns:kms.${region}.amazonaws.com`).join(',');
  const subject = ['-dname', 'CN=kms', '-ext', `san=${names}`, '-ext', 'bc=ca:true', '-validity', '2'];
  await run('keytool', ['-genkeypair', '-keyalg', 'EC', '-groupname', 'secp256r1', ...store, ...subject]);
  await run('keytool', ['-exportcert', '-rfc', '-file', certificate, ...store]);
}

/** Forwards a request. The emulator refuses a `Host` other than its own. */
function forward(endpoint: string, incoming: IncomingMessage, outgoing: ServerResponse): void {
  const { method, headers, url } = incoming;
  const { host } = new URL(endpoint);
  const onward = httpRequest(new URL(url ?? '/', endpoint), { method, headers: { ...headers, host } }, (answer) => {
    outgoing.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(outgoing);
  });
  onward.on('error', () => outgoing.destroy());
  incoming.pipe(onward);
}
