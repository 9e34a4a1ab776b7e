import type { SectionResult } from '../figures.ts';
import { measureColdStarts, type ColdStarts } from './measure.ts';
import { bundleSizes, type BundleSize } from './sizes.ts';

/** Measures the cold-start figures that have a budget. Takes about one minute. */
export async function measureColdStartSection(): Promise<SectionResult> {
  return figuresOf(await measureColdStarts(15), await bundleSizes());
}

/** Uses the measurements to compute the figures that have a budget. */
export function figuresOf({ ratio }: ColdStarts, sizes: readonly BundleSize[]): SectionResult {
  const atOnceBytes = sizes.find(({ handler }) => handler === 'api')?.atOnceBytes ?? Number.NaN;
  return {
    figures: [
      { name: "CPU of loading the api's bundle against esbuild's own", ...ratio, unit: '×' },
      { name: "what the api's bundle loads before the first request", value: atOnceBytes / 1024, unit: 'KiB' },
    ],
  };
}
