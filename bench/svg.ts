/** The width of every plot, in pixels. */
export const PLOT_WIDTH = 720;

/** The colours of the plots. Keyfold has the same colour in all of them. */
export const COLOURS = { keyfold: '#0b6e4f', blue: '#3b5ba5', red: '#c1440e', grey: '#8a9199' } as const;

/**
 * An SVG document with a white background.
 * @param height in pixels
 * @param elements the text of each element, in the order in which they are drawn
 * @param fill the text colour, black by default
 */
export function svgOf(height: number, elements: readonly string[], fill?: string): string {
  const size = `viewBox="0 0 ${PLOT_WIDTH} ${height}" font-family="sans-serif" font-size="12"`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" ${size}${fill === undefined ? '' : ` fill="${fill}"`}>`,
    `<rect width="${PLOT_WIDTH}" height="${height}" fill="white"/>`,
    ...elements,
    '</svg>\n',
  ].join('\n');
}

/** A text element whose baseline begins at a point. `attributes` are its other attributes, such as `font-size`. */
export function textAt(x: number | string, y: number, text: string, attributes = ''): string {
  return `<text x="${x}" y="${y}"${attributes === '' ? '' : ` ${attributes}`}>${text}</text>`;
}
