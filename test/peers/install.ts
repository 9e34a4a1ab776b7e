/**
 * Installs each peer into `.peers/` once. A stamp file, which contains the requirements, marks a finished installation.
 */
import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';
import { installBrowser } from './browser.ts';
import { installGenerators } from './generators.ts';
import { installLambdaRuntime } from './lambda-runtime.ts';
import { installHsm } from './softhsm.ts';
import { installOnce, PEERS_FOLDER } from './peers-folder.ts';

const run = promisify(execFile);
const EXAMPLES = join(import.meta.dirname, '..', '..', 'examples');
const LANGUAGES = join(EXAMPLES, 'languages');

/** The Python environments. */
export type PythonPeer =
  | 'asherah-go'
  | 'asherah-rust'
  | 'checkov'
  | 'moto'
  | 'openapi-python-client'
  | 'openbao'
  | 'powertools'
  | 'schemathesis';

/** The path of Python in a peer's environment. */
export function pythonOf(peer: PythonPeer): string {
  return join(PEERS_FOLDER, peer, 'bin', 'python');
}

/**
 * Installs all peers.
 * @throws Error that names the programs that this machine lacks
 */
export async function installPeers(): Promise<void> {
  await requireTools();
  await mkdir(PEERS_FOLDER, { recursive: true });
  await Promise.all([
    installPython('asherah-go'),
    installPython('asherah-rust'),
    installPython('checkov'),
    installPython('moto'),
    installPython('openapi-python-client'),
    installPython('openbao'),
    installPython('powertools', join(EXAMPLES, 'powertools-data-masking', 'requirements.txt')),
    installPython('schemathesis'),
    installGenerators(),
    installJars('dynamodb-local'),
    installJars('languages-java', join(LANGUAGES, 'java', 'pom.xml')),
    buildGoPrograms(),
    installAsherahJava(),
    installAsherahGo(),
    installBrowser(),
    installDebian('databases', 'debian-packages.txt'),
    installDebian('softhsm', 'debian-softhsm.txt').then(installHsm),
    installLambdaRuntime(),
  ]);
}

async function requireTools(): Promise<void> {
  const needs = [
    [
      'python3',
      ['-c', 'import ensurepip, sys, venv; assert sys.version_info >= (3, 11)'],
      'Python 3.11 or newer, with venv',
    ],
    ['sh', ['-c', "javac -version 2>&1 | grep -Eq 'javac (1[7-9]|[2-9][0-9])'"], 'a JDK of Java 17 or newer'],
    ['mvn', ['-version'], 'Maven'],
    ['sh', ['-c', "go version | grep -Eq 'go1\\.(2[3-9]|[3-9][0-9])'"], 'Go 1.23 or newer'],
    ['sh', ['-c', 'command -v apt-get && command -v dpkg'], 'apt-get and dpkg, of Debian 12'],
    // npm compiles Lambda's client for the Runtime API, which contains C++ code.
    ['cmake', ['--version'], 'CMake'],
    ['make', ['--version'], 'make'],
    ['c++', ['--version'], 'a C++ compiler'],
  ] as const;
  const missing: string[] = [];
  for (const [command, args, name] of needs) await run(command, args).catch(() => missing.push(name));
  if (missing.length > 0) throw new Error(`npm run test:peers needs what this machine lacks: ${missing.join('; ')}`);
}

/** Installs one Python environment. By default, its requirements are in a file with the peer's name in this folder. */
export async function installPython(
  peer: PythonPeer,
  requirements = join(import.meta.dirname, `requirements-${peer}.txt`),
): Promise<void> {
  await installOnce(peer, requirements, async (folder) => {
    await run('python3', ['-m', 'venv', folder]);
    await run(pythonOf(peer), ['-m', 'pip', 'install', '--quiet', '--no-deps', '--requirement', requirements]);
  });
}

/** Installs Asherah Java, and compiles AsherahPeer.java. */
async function installAsherahJava(): Promise<void> {
  await installJars('asherah-java');
  const program = join(import.meta.dirname, 'java', 'AsherahPeer.java');
  await installOnce('asherah-java-peer', program, async (folder) => {
    await run('javac', ['-cp', join(PEERS_FOLDER, 'asherah-java', '*'), '-d', folder, program]);
  });
}

/** Compiles the peer program for Asherah Go with version 2 of the AWS SDK. Go caches its own builds. */
async function installAsherahGo(): Promise<void> {
  const program = join(PEERS_FOLDER, 'asherah-go-v2', 'peer');
  await run('go', ['build', '-o', program, '.'], { cwd: join(import.meta.dirname, 'go') });
}

/** Compiles the Go programs in examples/languages. */
async function buildGoPrograms(): Promise<void> {
  const folder = join(PEERS_FOLDER, 'languages-go');
  await mkdir(folder, { recursive: true });
  await run('go', ['build', '-o', `${folder}/`, './...'], { cwd: join(LANGUAGES, 'go') });
}

/** Installs the jars of a pom. By default, this is the pom with the peer's name in this folder. */
async function installJars(peer: string, pom = join(import.meta.dirname, `${peer}.pom.xml`)): Promise<void> {
  await installOnce(peer, pom, async (folder) => {
    await run('mvn', ['-q', '-B', '-f', pom, 'dependency:copy-dependencies', `-DoutputDirectory=${folder}`]);
  });
}

/**
 * Downloads the Debian packages of a list and unpacks them, without installing them into the system.
 * @param release the Debian release to take the packages from. Default: the system's release. The packages of another
 * release also come from the system's own mirror.
 */
export async function installDebian(peer: string, list: string, release?: string): Promise<void> {
  const packages = join(import.meta.dirname, list);
  await installOnce(peer, packages, async (folder) => {
    const names = (await readFile(packages, 'utf8')).trim().split('\n');
    const lists = join(folder, 'apt');
    const options = release === undefined ? [] : await optionsFor(release, lists);
    if (release !== undefined) await run('apt-get', [...options, 'update']);
    // In sid, the names of the libraries change, so apt-get has to find the dependencies.
    const download =
      release === 'sid' ? ['install', '--yes', '--download-only', '--no-install-recommends'] : ['download'];
    await run('apt-get', [...options, ...download, ...names], { cwd: folder });
    const downloaded = release === 'sid' ? join(lists, 'cache', 'archives') : folder;
    const files = (await readdir(downloaded))
      .filter((file) => file.endsWith('.deb'))
      .map((file) => join(downloaded, file));
    for (const file of files) await run('dpkg', ['-x', file, folder]);
    await Promise.all([...files, lists].map((file) => rm(file, { recursive: true, force: true })));
  });
}

/**
 * Options with which apt-get reads another release's packages from the system's mirror. It keeps its lists and packages
 * in the given folder.
 */
async function optionsFor(release: string, folder: string): Promise<string[]> {
  const parts = join(folder, 'parts');
  await mkdir(join(folder, 'lists', 'partial'), { recursive: true });
  await mkdir(join(folder, 'cache', 'archives', 'partial'), { recursive: true });
  await mkdir(parts);
  for (const file of ['/etc/apt/sources.list.d/debian.sources', '/etc/apt/sources.list']) {
    const text = await readFile(file, 'utf8').catch(() => '');
    // Sid has no updates.
    const sources = release === 'sid' ? withoutUpdates(text) : text;
    await writeFile(join(parts, basename(file)), sources.replaceAll('bookworm', release));
  }
  const settings = {
    'Dir::Etc::sourcelist': '/dev/null',
    'Dir::Etc::sourceparts': parts,
    'Dir::State::lists': join(folder, 'lists'),
    'Dir::State::status': '/dev/null',
    'Dir::Cache': join(folder, 'cache'),
  };
  return Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`]);
}

/** Leaves the updates and the security updates out of a list of sources, in both of its formats. */
function withoutUpdates(sources: string): string {
  const parts = sources.replaceAll(' bookworm-updates', '').split(/\n\n|\n(?=deb )/);
  return parts.filter((part) => !part.includes('bookworm-')).join('\n\n');
}
