import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { bundleHandler, HANDLERS } from '../../scripts/handler-bundle.ts';
import { loadedAtOnce } from '../../scripts/loaded-at-once.ts';

/** The size of a function's package, in bytes before compression. */
export interface BundleSize {
  readonly handler: string;
  /** The size of the code that the function loads before its first request. */
  readonly atOnceBytes: number;
  readonly totalBytes: number;
}

/** Measures the bundle sizes of all handlers. */
export async function bundleSizes(): Promise<BundleSize[]> {
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-sizes-'));
  const sizes = await Promise.all(HANDLERS.map((handler) => sizeOf(handler, join(folder, handler))));
  await rm(folder, { recursive: true });
  return sizes;
}

async function sizeOf(handler: string, folder: string): Promise<BundleSize> {
  await bundleHandler(handler, folder);
  const atOnceBytes = await sumOf(folder, await loadedAtOnce(folder));
  return { handler, atOnceBytes, totalBytes: await sumOf(folder, await readdir(folder)) };
}

async function sumOf(folder: string, files: readonly string[]): Promise<number> {
  const sizes = await Promise.all(files.map(async (file) => (await stat(join(folder, file))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}
