import type { bundleSizes } from './sizes.ts';

/** One figure that has a budget. */
export interface ColdStartFigure {
  readonly name: string;
  readonly value: number;
  readonly unit: '×' | 'KiB';
  readonly atMost: number;
}

/** What importing the built bundle may take of what the plain one does, by CPU. */
const MOST_OF_PLAIN = 0.5;
/** Of the api's bundle, what is loaded before the first request. */
const MOST_AT_ONCE_KIB = 320;

/** Those figures, of what was measured. */
export function budgeted(ratio: number, sizes: Awaited<ReturnType<typeof bundleSizes>>): ColdStartFigure[] {
  const atOnceBytes = sizes.find(({ handler }) => handler === 'api')?.atOnceBytes ?? Number.NaN;
  return [
    { name: "init CPU of the api's bundle against esbuild's own", value: ratio, unit: '×', atMost: MOST_OF_PLAIN },
    {
      name: "what the api's bundle loads before the first request",
      value: atOnceBytes / 1024,
      unit: 'KiB',
      atMost: MOST_AT_ONCE_KIB,
    },
  ];
}
