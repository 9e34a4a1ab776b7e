import type { Laps, Spread } from './compare.ts';
import { timeOf } from './compare.ts';

/** One line of a section's table. If a budget has the same name, the figure must meet it. */
export interface Figure extends Partial<Pick<Spread, 'lower' | 'upper'>> {
  readonly name: string;
  /** A number in `unit`, or counted calls such as `1 Query, 1 Put`. */
  readonly value: number | string;
  /** The unit of the value. `×` means a ratio. */
  readonly unit: '×' | 'KiB' | 'MiB' | '/s' | '';
  /** If `value` is a ratio of wall-clock times, the ratio of the CPU times. */
  readonly byCpu?: number;
}

/** The time that one contestant takes for one operation at one payload size, in microseconds. */
export interface Speed {
  readonly contestant: string;
  readonly operation: string;
  readonly size: SizeName;
  readonly wallUs: Spread;
  readonly cpuUs: number;
}

/** The result of a section. */
export interface SectionResult {
  readonly figures: readonly Figure[];
  readonly speeds?: readonly Speed[];
}

/** The payloads that all contestants encrypt and decrypt. */
export const SIZES = { '64 B': 64, '1 KiB': 1024, '64 KiB': 65_536, '1 MiB': 1_048_576 } as const;

export type SizeName = keyof typeof SIZES;

export const SIZE_NAMES = Object.keys(SIZES) as SizeName[];

/** Computes the speed of one contestant from its rounds. */
export function speedOf(contestant: string, operation: string, size: SizeName, laps: Laps): Speed {
  const { value, lower, upper } = timeOf(laps);
  const wallUs = { value: value * 1000, lower: lower * 1000, upper: upper * 1000 };
  return { contestant, operation, size, wallUs, cpuUs: timeOf(laps, 'cpuMs').value * 1000 };
}
