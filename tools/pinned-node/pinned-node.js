#!/usr/bin/env node
// Runs its arguments on the Node that the lock file pins for this platform: `pinned-node FILE [ARGUMENT…]`.
// The machine's own Node runs this file, and Node 20 cannot run TypeScript. So this file is JavaScript.
import { spawn } from 'node:child_process';
import { createRequire } from 'node:module';
import { constants } from 'node:os';

/** The first Node that runs TypeScript without a flag. */
const MIN_OWN_VERSION = [22, 18];

const platform = process.platform === 'win32' ? 'win' : process.platform;
const target = `${platform}-${process.arch}`;

/** The pinned binary. Undefined if npm has none for this platform, or if `--omit=optional` left it out. */
function pinnedBinary() {
  const { resolve } = createRequire(import.meta.url);
  const file = platform === 'win' ? 'bin/node.exe' : 'bin/node';
  for (const name of [`node-${target}`, `node-bin-${target}`]) {
    try {
      return resolve(`${name}/${file}`);
    } catch {
      // Try the other name.
    }
  }
  return undefined;
}

function runOnOwnNode() {
  const [major, minor] = process.versions.node.split('.').map(Number);
  const [minMajor, minMinor] = MIN_OWN_VERSION;
  if (major > minMajor || (major === minMajor && minor >= minMinor)) {
    run(process.execPath, (error) => fail(error.message));
  } else {
    const mends = `install Node ${minMajor}.${minMinor} or newer, or run npm ci without --omit=optional`;
    fail(`no pinned Node for ${target} is installed and runs here, and this Node is ${process.version}: ${mends}`);
  }
}

function run(binary, onSpawnError) {
  const child = spawn(binary, process.argv.slice(2), { stdio: 'inherit' });
  child.once('error', onSpawnError);
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal));
  child.once('exit', (code, signal) => {
    process.exitCode = code ?? 128 + constants.signals[signal];
  });
}

function fail(reason) {
  console.error(`pinned-node: ${reason}`);
  process.exitCode = 1;
}

const binary = pinnedBinary();
if (binary === undefined) runOnOwnNode();
// A binary for glibc does not start on musl.
else run(binary, runOnOwnNode);
