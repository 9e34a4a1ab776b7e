/**
 * typedoc makes a heading of every part of a member, so that a page has "Returns" a hundred times. Here only exports
 * and their members stay headings, and a member's heading names its export.
 */

/** The headings of groups. The headings below them say the same. */
const GROUPS = new Set(['Accessors', 'Constructors', 'Get Signature', 'Methods']);
const HEADING = /^(#+) (.*)$/;

/** Turns headings of parts into labels, and lets each link of the page lead to the heading that it led to. */
export function withUniqueHeadings(page: string): string {
  const anchors = new Anchors();
  const renamed = new Map<string, string>();
  const taken = new Anchors();
  let owner = '';
  let group = '';
  let isCode = false;
  const lines = page.split('\n').flatMap((line) => {
    if (line.startsWith('```')) isCode = !isCode;
    const [, { length: level } = '', text = ''] = (!isCode && HEADING.exec(line)) || [];
    if (level === 0) return [line];
    const before = anchors.of(text);
    if (level === 2) owner = text.replace(/^`abstract` /, '').replace(/\(\)$/, '');
    if (level === 3) group = text;
    const isMember = level === 4 && (/\)\??$/.test(text) || text === 'Constructor' || group === 'Accessors');
    if (level > 2 && !isMember) return GROUPS.has(text) ? [] : [`**${text}**`];
    const heading = isMember ? `${owner}.${text === 'Constructor' ? 'constructor()' : text}` : text;
    renamed.set(before, taken.of(heading));
    return [`${'#'.repeat(Math.min(level, 3))} ${heading}`];
  });
  return lines
    .join('\n')
    .replaceAll(/\]\(#([^)]+)\)/g, (_, anchor: string) => `](#${renamed.get(anchor) ?? anchor})`)
    .replaceAll(
      /^(\*\*(?:Returns|Throws|Implementation of|Inherited from|Overrides)\*\*)\n\n(?!\||```|[-*] )/gm,
      '$1: ',
    );
}

/** Names the anchors of a page's headings, as the usual forges do: a repeated heading gets a number. */
class Anchors {
  readonly #counts = new Map<string, number>();

  of(heading: string): string {
    const anchor = heading
      .toLowerCase()
      .replaceAll(/[^\w -]/g, '')
      .replaceAll(' ', '-');
    const count = this.#counts.get(anchor) ?? 0;
    this.#counts.set(anchor, count + 1);
    return count === 0 ? anchor : `${anchor}-${count}`;
  }
}
