import { SIZE_NAMES, type Speed } from './figures.ts';
import { COLOURS, PLOT_WIDTH, svgOf, textAt } from './svg.ts';

const LEFT = 190;
const RIGHT = 80;
const BAR = 15;
const PITCH = 20;
const PANEL_GAP = 34;
const OURS = 'Keyfold, library';
const INK = '#1f2328';

/**
 * Draws an SVG bar chart of the time that each contestant takes for one operation, with one panel per size. Shorter
 * bars are faster. The scale is logarithmic: each tick mark is ten times the previous one.
 */
export function plotSpeeds(operation: string, speeds: readonly Speed[]): string {
  const panels = SIZE_NAMES.map((size) => ({ size, bars: speeds.filter((speed) => speed.size === size) }));
  const times = speeds.map(({ wallUs }) => wallUs.value);
  const from = 10 ** Math.floor(Math.log10(Math.min(...times)));
  const to = 10 ** Math.ceil(Math.log10(Math.max(...times)));
  const x = (us: number): number =>
    LEFT + (Math.log10(us / from) / Math.log10(to / from)) * (PLOT_WIDTH - LEFT - RIGHT);
  let top = 44;
  const drawn: string[] = [];
  for (const { size, bars } of panels) {
    drawn.push(textAt(12, top + 12, size, 'font-weight="bold"'));
    drawn.push(...bars.map((speed, i) => bar(speed, top + 20 + i * PITCH, x)));
    const bottom = top + 20 + bars.length * PITCH;
    for (let mark = from; mark <= to; mark *= 10) {
      const at = x(mark).toFixed(1);
      drawn.push(`<path d="M${at} ${top + 16}V${bottom}" stroke="${COLOURS.grey}" stroke-width="0.5"/>`);
      drawn.push(textAt(at, top + 12, timeText(mark), 'text-anchor="middle" font-size="10"'));
    }
    top = bottom + PANEL_GAP;
  }
  const title = `Time to ${operation} once: the median; shorter is faster, logarithmic`;
  return svgOf(top, [textAt(12, 24, title, 'font-size="14"'), ...drawn], INK);
}

function bar({ contestant, wallUs }: Speed, top: number, x: (us: number) => number): string {
  const colour = contestant === OURS ? COLOURS.keyfold : contestant === 'floor' ? COLOURS.grey : COLOURS.blue;
  const end = x(wallUs.value);
  return [
    textAt(LEFT - 8, top + 12, contestant, 'text-anchor="end"'),
    `<rect x="${LEFT}" y="${top}" width="${(end - LEFT).toFixed(1)}" height="${BAR}" fill="${colour}"/>`,
    textAt((end + 5).toFixed(1), top + 12, timeText(wallUs.value)),
  ].join('\n');
}

function timeText(us: number): string {
  const [value, unit] = us >= 1000 ? [us / 1000, 'ms'] : [us, 'µs'];
  return `${Number(value.toPrecision(2)).toLocaleString('en')} ${unit}`;
}
