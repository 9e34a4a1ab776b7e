import { posix } from 'node:path';
import type { MarkdownRenderer } from 'vitepress';

/**
 * Makes the id of a heading. GitHub and GitLab make the same id, so a link to a heading works there and on the site.
 */
export function headingId(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^\p{Letter}\p{Mark}\p{Number} _-]/gu, '')
    .replaceAll(' ', '-');
}

/**
 * Turns links to a README into links to the index of its folder. Reduces links to files outside docs/ to their text,
 * because the site has no page for them.
 */
export function linkWithinSite(markdown: MarkdownRenderer): void {
  markdown.core.ruler.push('link-within-site', ({ tokens, env }) => {
    const folder = posix.dirname((env as { relativePath: string }).relativePath);
    for (const { children } of tokens) {
      let isOutside = false;
      for (const token of children ?? []) {
        const href = token.attrGet('href');
        if (token.type === 'link_open' && href !== null && !/^(?:[a-z]+:|#)/.test(href)) {
          isOutside = posix.join(folder, href).startsWith('..');
          token.attrSet('href', href.replace(/README\.md(?=#|$)/, 'index.md'));
        }
        if (isOutside && token.type.startsWith('link_')) {
          if (token.type === 'link_close') isOutside = false;
          Object.assign(token, { type: 'text', tag: '', content: '', nesting: 0 });
        }
      }
    }
  });
}

/** Renders a code block of the language `mermaid` as a diagram. */
export function renderDiagrams(markdown: MarkdownRenderer): void {
  const { fence } = markdown.renderer.rules;
  markdown.renderer.rules.fence = (tokens, index, ...rest) => {
    const token = tokens[index];
    if (token?.info.trim() !== 'mermaid') return fence?.(tokens, index, ...rest) ?? '';
    return `<Diagram source="${encodeURIComponent(token.content)}" />`;
  };
}
