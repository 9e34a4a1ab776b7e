const NUMBER = /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/;

/**
 * Returns the decimal digits of a JSON number whose value is a safe integer: `1` for `1.0` and `1e0`, and `0` for `-0`.
 * @param source JSON text
 * @returns undefined for any other number, and for text that is not a number
 */
export function exactInteger(source: string): string | undefined {
  const parts = NUMBER.exec(source);
  if (parts === null) return undefined;
  const value = Number(source);
  if (!Number.isSafeInteger(value)) return undefined;
  const [, , whole = '', fraction = '', exponent = '0'] = parts;
  const significant = withoutZeros(whole + fraction);
  // Look at the digits themselves, because Number() rounds 1.00000000000000000001 to an integer.
  const lowestPlace = Number(exponent) + whole.length - significant.length;
  return /[1-9]/.test(significant) && lowestPlace < 0 ? undefined : String(value === 0 ? 0 : value);
}

/**
 * Removes zeros at the end. It uses no regular expression, which would take quadratic time for many zeros before
 * another digit.
 */
function withoutZeros(digits: string): string {
  let end = digits.length;
  while (digits[end - 1] === '0') end -= 1;
  return digits.slice(0, end);
}
