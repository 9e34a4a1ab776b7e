import { SIZE_NAMES, type Speed } from './figures.ts';

const WIDTH = 720;
const LEFT = 190;
const RIGHT = 80;
const BAR = 15;
const PITCH = 20;
const PANEL_GAP = 34;
const OURS = 'Keyfold, library';
const INK = '#1f2328';
/** The colours of Keyfold, of the floor (the minimum cost in Node) and of all other contestants. */
const COLOURS = { ours: '#0b6e4f', floor: '#8a9199', other: '#3b5ba5' };

/**
 * Draws an SVG bar chart of the time that each contestant takes for one operation, one panel for each size.
 * Shorter bars are faster. The scale is logarithmic, and each mark is ten times the previous one.
 */
export function plotSpeeds(operation: string, speeds: readonly Speed[]): string {
  const panels = SIZE_NAMES.map((size) => ({ size, bars: speeds.filter((speed) => speed.size === size) }));
  const times = speeds.map(({ wallUs }) => wallUs.value);
  const from = 10 ** Math.floor(Math.log10(Math.min(...times)));
  const to = 10 ** Math.ceil(Math.log10(Math.max(...times)));
  const x = (us: number): number => LEFT + (Math.log10(us / from) / Math.log10(to / from)) * (WIDTH - LEFT - RIGHT);
  let top = 44;
  const drawn: string[] = [];
  for (const { size, bars } of panels) {
    drawn.push(`<text x="12" y="${top + 12}" font-weight="bold">${size}</text>`);
    drawn.push(...bars.map((speed, i) => bar(speed, top + 20 + i * PITCH, x)));
    const bottom = top + 20 + bars.length * PITCH;
    for (let mark = from; mark <= to; mark *= 10) {
      const at = x(mark).toFixed(1);
      drawn.push(`<path d="M${at} ${top + 16}V${bottom}" stroke="#8a9199" stroke-width="0.5"/>`);
      drawn.push(`<text x="${at}" y="${top + 12}" text-anchor="middle" font-size="10">${timeText(mark)}</text>`);
    }
    top = bottom + PANEL_GAP;
  }
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${top}" font-family="sans-serif" font-size="12" fill="${INK}">`,
    `<rect width="${WIDTH}" height="${top}" fill="white"/>`,
    `<text x="12" y="24" font-size="14">Time to ${operation} once: the median; shorter is faster, logarithmic</text>`,
    ...drawn,
    '</svg>\n',
  ].join('\n');
}

function bar({ contestant, wallUs }: Speed, top: number, x: (us: number) => number): string {
  const colour = contestant === OURS ? COLOURS.ours : contestant === 'floor' ? COLOURS.floor : COLOURS.other;
  const end = x(wallUs.value);
  return [
    `<text x="${LEFT - 8}" y="${top + 12}" text-anchor="end">${contestant}</text>`,
    `<rect x="${LEFT}" y="${top}" width="${(end - LEFT).toFixed(1)}" height="${BAR}" fill="${colour}"/>`,
    `<text x="${(end + 5).toFixed(1)}" y="${top + 12}">${timeText(wallUs.value)}</text>`,
  ].join('\n');
}

function timeText(us: number): string {
  const [value, unit] = us >= 1000 ? [us / 1000, 'ms'] : [us, 'µs'];
  return `${Number(value.toPrecision(2)).toLocaleString('en')} ${unit}`;
}
