import { copyFile, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { bundleHandler, bundlePlainHandler } from '../../scripts/handler-bundle.ts';
import { EmulatedFunction } from '../../test/peers/emulated-function.ts';

/**
 * The variants whose cold starts are measured. `empty` is a handler that does nothing. `plain` is a default esbuild
 * bundle of the API, `built` is the bundle of `npm run build`, and `preloaded` is `built` with the System Key
 * preloaded.
 */
export const STARTERS = ['empty', 'plain', 'built', 'preloaded'] as const;
export type Starter = (typeof STARTERS)[number];

/** One cold start under the runtime emulator. CPU times are user and system time of the whole process. */
export interface ColdStart {
  /** The time to import the handler. */
  readonly loadCpuMs: number;
  /**
   * The time from the start of the process until the handler is imported. Includes starting Node and the Runtime API
   * client.
   */
  readonly startCpuMs: number;
  readonly requestCpuMs: number;
  readonly requestWallMs: number;
  /** The maximum resident memory until the end of the first request. */
  readonly peakMiB: number;
  /** The time from the first event to its response, including the start of the process. */
  readonly coldWallMs: number;
  readonly warmWallMs: number;
}

/** Writes each variant into its own folder, as it would be deployed. */
export async function prepareStarters(folder: string): Promise<void> {
  const homes = STARTERS.map((name) => join(folder, name));
  await Promise.all(homes.map((home) => mkdir(home)));
  const [empty = '', plain = '', built = '', preloaded = ''] = homes;
  await Promise.all([
    writeFile(join(empty, 'index.mjs'), 'export const handler = async () => ({ statusCode: 200 });\n'),
    bundlePlainHandler('api', plain),
    bundleHandler('api', built),
    bundleHandler('api', preloaded),
    ...homes.map((home) => copyFile(new URL('measured-handler.mjs', import.meta.url), join(home, 'measured.mjs'))),
  ]);
}

/**
 * Starts one variant in a new process, and sends it the same event twice.
 * @throws Error if a response does not have status 200
 */
export async function startCold(
  folder: string,
  name: Starter,
  environment: Readonly<Record<string, string>>,
  event: unknown,
): Promise<ColdStart> {
  const one = await EmulatedFunction.start({
    taskRoot: join(folder, name),
    handler: 'measured.handler',
    name: 'keyfold-api',
    environment: {
      ...environment,
      MEASURED_HANDLER: './index.mjs',
      KEYFOLD_PRELOAD_SYSTEM_KEY: String(name === 'preloaded'),
    },
  });
  try {
    const [cold, coldWallMs] = await invoke(one, event);
    const [, warmWallMs] = await invoke(one, event);
    const { loadCpuMs, startCpuMs, requestCpuMs, requestWallMs, peakMiB } = cold;
    return { loadCpuMs, startCpuMs, requestCpuMs, requestWallMs, peakMiB, coldWallMs, warmWallMs };
  } finally {
    await one.stop();
  }
}

async function invoke(one: EmulatedFunction, event: unknown): Promise<[measured: ColdStart, wallMs: number]> {
  const beganAtMs = performance.now();
  const answer = (await one.invoke(event)) as ColdStart & { result?: { statusCode: number } };
  const wallMs = performance.now() - beganAtMs;
  if (answer.result?.statusCode !== 200) throw new Error(`a cold start failed: ${JSON.stringify(answer)}\n${one.log}`);
  return [answer, wallMs];
}
