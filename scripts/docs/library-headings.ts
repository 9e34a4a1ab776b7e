/**
 * typedoc makes a heading for every part of a member, so one page can have a hundred headings named "Returns". This
 * module keeps only the headings of exports and their members, and adds the export's name to each member's heading.
 */

/** The headings of groups. They are left out, because the headings below them contain the same information. */
const GROUPS = new Set(['Accessors', 'Constructors', 'Get Signature', 'Methods']);
const HEADING = /^(#+) (.*)$/;

/** A page, and the new anchor of each heading, keyed by the old anchor. */
interface RenamedPage {
  readonly text: string;
  readonly anchors: ReadonlyMap<string, string>;
}

/**
 * Turns the headings of a member's parts, such as "Returns", into labels. Updates the links between the pages, because
 * the anchors of the remaining headings change.
 * @param pages the pages, keyed by their file names
 */
export function withUniqueHeadings(pages: Readonly<Record<string, string>>): Record<string, string> {
  const renamed = new Map(Object.entries(pages).map(([name, page]) => [name, withLabels(page)]));
  const linked = [...renamed].map(([name, { text }]) => {
    const page = text.replaceAll(/\]\(([\w.-]*)#([^)]+)\)/g, (_, target: string, anchor: string) => {
      const { anchors } = renamed.get(target === '' ? name : target) ?? {};
      return `](${target}#${anchors?.get(anchor) ?? anchor})`;
    });
    return [name, page] as const;
  });
  return Object.fromEntries(linked);
}

function withLabels(page: string): RenamedPage {
  const before = new Anchors();
  const after = new Anchors();
  const anchors = new Map<string, string>();
  let owner = '';
  let group = '';
  let isCode = false;
  const lines = page.split('\n').flatMap((line) => {
    if (line.startsWith('```')) isCode = !isCode;
    const [, { length: level } = '', text = ''] = (!isCode && HEADING.exec(line)) || [];
    if (level === 0) return [line];
    const anchor = before.of(text);
    if (level === 2) owner = text.replace(/^`abstract` /, '').replace(/\(\)$/, '');
    if (level === 3) group = text;
    const isMember = level === 4 && (/\)\??$/.test(text) || text === 'Constructor' || group === 'Accessors');
    if (level > 2 && !isMember) return GROUPS.has(text) ? [] : [`**${text}**`];
    const heading = isMember ? `${owner}.${text === 'Constructor' ? 'constructor()' : text}` : text;
    anchors.set(anchor, after.of(heading));
    return [`${'#'.repeat(Math.min(level, 3))} ${heading}`];
  });
  const text = lines
    .join('\n')
    .replaceAll(
      /^(\*\*(?:Returns|Throws|Implementation of|Inherited from|Overrides)\*\*)\n\n(?!\||```|[-*] )/gm,
      '$1: ',
    );
  return { text, anchors };
}

/** Names the anchors of a page's headings as GitHub and GitLab do: a repeated heading gets a number. */
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
