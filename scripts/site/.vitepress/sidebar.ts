import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { DefaultTheme } from 'vitepress';

/** A Markdown link to a page. */
const LINK = /\[([^\]]+)\]\(([\w/-]+\.md)\)/g;

/**
 * Makes the sidebar from docs/README.md. Each heading becomes a group, and each link in its list becomes an entry. The
 * pages of the runbooks and of the library appear below the page that lists them.
 * @throws Error if a page is in none of the lists
 */
export function sidebarOf(docs: string): DefaultTheme.SidebarItem[] {
  const map = readFileSync(join(docs, 'README.md'), 'utf8');
  const groups = map
    .split(/^## /m)
    .slice(1)
    .map((section): DefaultTheme.SidebarItem => {
      const text = section.split('\n')[0] ?? '';
      return { text, collapsed: false, items: linksIn(section).map((link) => entryOf(docs, link)) };
    });
  const listed = JSON.stringify(groups);
  const pages = readdirSync(docs, { recursive: true, encoding: 'utf8' });
  const missing = pages.filter((page) => /(?<!README)\.md$/.test(page) && !listed.includes(`"/${pathOf(page)}"`));
  if (missing.length > 0) throw new Error(`No list of docs/README.md leads to ${missing.join(', ')}`);
  return groups;
}

interface Link {
  readonly text: string;
  readonly page: string;
}

function entryOf(docs: string, { text, page }: Link): DefaultTheme.SidebarItem {
  const link = `/${pathOf(page)}`;
  if (!/(?:runbooks\/README|library)\.md$/.test(page)) return { text, link };
  const below = linksIn(readFileSync(join(docs, page), 'utf8'), dirname(page)).filter(
    (other) => dirname(other.page) === page.replace(/(?:\/README)?\.md$/, ''),
  );
  return { text, link, collapsed: true, items: below.map((other) => entryOf(docs, other)) };
}

function linksIn(markdown: string, folder = '.'): Link[] {
  const links = [...markdown.matchAll(LINK)].map(([, text = '', page = '']) => ({ text, page: join(folder, page) }));
  return links.filter(({ page }, index) => links.findIndex((other) => other.page === page) === index);
}

function pathOf(page: string): string {
  return page.replace(/README\.md$/, '').replace(/\.md$/, '.html');
}
