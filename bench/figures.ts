import type { Laps, Spread } from './compare.ts';
import { timeOf } from './compare.ts';

/** What a section of the benchmark measures: one line of its table, held against the budget of the same name if there is one. */
export interface Figure extends Partial<Pick<Spread, 'lower' | 'upper'>> {
  readonly name: string;
  /** A number in `unit`, or calls as they were counted, such as `1 Query, 1 Put`. */
  readonly value: number | string;
  /** `×` for a ratio. */
  readonly unit: '×' | 'KiB' | 'MiB' | '/s' | '';
  /** The same ratio by the CPU of the processes instead of the clock on the wall. */
  readonly byCpu?: number;
}

/** How long one contestant takes for one operation on one size, in microseconds. */
export interface Speed {
  readonly contestant: string;
  readonly operation: string;
  readonly size: SizeName;
  readonly wallUs: Spread;
  readonly cpuUs: number;
}

/** What a section comes to. */
export interface SectionResult {
  readonly figures: readonly Figure[];
  readonly speeds?: readonly Speed[];
}

/** The payloads that all contestants have. */
export const SIZES = { '64 B': 64, '1 KiB': 1024, '64 KiB': 65_536, '1 MiB': 1_048_576 } as const;

export type SizeName = keyof typeof SIZES;

export const SIZE_NAMES = Object.keys(SIZES) as SizeName[];

/** One contestant's speed, from its rounds. */
export function speedOf(contestant: string, operation: string, size: SizeName, laps: Laps): Speed {
  const { value, lower, upper } = timeOf(laps);
  const wallUs = { value: value * 1000, lower: lower * 1000, upper: upper * 1000 };
  return { contestant, operation, size, wallUs, cpuUs: timeOf(laps, 'cpuMs').value * 1000 };
}
