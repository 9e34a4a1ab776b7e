import type { Assumptions, Prices } from './bill.ts';
import given from './prices.json' with { type: 'json' };

/** The prices from prices.json. */
export const PRICES: Prices = given.prices;

/** The values that prices.json assumes. */
export const ASSUMED: Assumptions = valuesOf(given.assumptions);

function valuesOf<Given extends Record<string, { value: number }>>(all: Given): { [Name in keyof Given]: number } {
  const values = Object.entries(all).map(([name, { value }]) => [name, value]);
  return Object.fromEntries(values) as { [Name in keyof Given]: number };
}
