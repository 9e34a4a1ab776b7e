/**
 * The documentation site. `npm run docs` copies this folder next to the installed tools, and builds the site there.
 */
import { defineConfig } from 'vitepress';
import { headingId, linkWithinSite, renderDiagrams } from './markdown.ts';
import { sidebarOf } from './sidebar.ts';

export default defineConfig({
  title: 'Keyfold',
  description: 'A serverless encryption API for AWS Lambda, wire-compatible with Asherah.',
  srcDir: './docs',
  outDir: process.env['KEYFOLD_SITE'] ?? '',
  // A later step replaces this base, so that the site works from any path (scripts/docs/any-path.ts).
  base: process.env['KEYFOLD_BASE'] ?? '/',
  rewrites: (page) => page.replace(/README\.md$/, 'index.md'),
  markdown: {
    anchor: { slugify: headingId },
    config: (markdown) => {
      linkWithinSite(markdown);
      renderDiagrams(markdown);
    },
  },
  themeConfig: {
    search: { provider: 'local', options: { miniSearch: { searchOptions: { combineWith: 'AND', fuzzy: 0.1 } } } },
    sidebar: sidebarOf('docs'),
    outline: [2, 3],
    docFooter: { prev: false, next: false },
  },
  vite: { logLevel: 'warn', build: { chunkSizeWarningLimit: 5000 } },
});
