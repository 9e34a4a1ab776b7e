/** The characters that tests try in names, IDs and ARNs, and the sets that specifications name. */
export const LOWER = 'abcdefghijklmnopqrstuvwxyz';
export const UPPER = LOWER.toUpperCase();
export const DIGITS = '0123456789';
export const HEX = `${DIGITS}abcdef`;
/** Letters, digits and the underscore. */
export const WORD = `${LOWER}${UPPER}${DIGITS}_`;

/** All of ASCII, and some characters that careless code takes for letters, digits, spaces or the end of a line. */
export const CHARACTERS: readonly string[] = [
  ...Array.from({ length: 0x80 }, (_, code) => String.fromCharCode(code)),
  '\x80',
  '\xa0',
  'é',
  'ı',
  '\u212a',
  '١',
  '€',
  '😀',
];

/** The visible characters of ASCII. */
export const VISIBLE = CHARACTERS.filter((character) => character > ' ' && character <= '~').join('');

/** The characters of a set, in the order of {@link CHARACTERS}. */
export function sorted(set: string): string {
  return CHARACTERS.filter((character) => set.includes(character)).join('');
}

/** The characters that `accepts` allows in place of the `?` in `form`. */
export function acceptedIn(form: string, accepts: (value: string) => boolean): string {
  return CHARACTERS.filter((character) => accepts(form.replace('?', () => character))).join('');
}
