/**
 * Tests that every link in a Markdown file leads somewhere, that every page has a link to it, and that the pages that
 * code names exist.
 */
import { existsSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, it } from 'vitest';
import { MARKDOWN, read, repositoryFiles, ROOT } from '../../support/documents.ts';

/** The text of a file without its code, in which a bracket is not a link. */
function proseOf(file: string): string {
  return read(file)
    .replaceAll(/^( *)```.*?^\1```$/gms, '')
    .replaceAll(/`[^`\n]*`/g, (code) => '`'.padEnd(code.length, '`'));
}

/** The targets of the links and images in a file, exactly as in its text. */
function targetsOf(file: string): string[] {
  return [...proseOf(file).matchAll(/\]\(([^)\s]+)(?:\s+"[^"]*")?\)/g)].map(([, target = '']) => target);
}

/** The anchors of a file: those that GitHub and the site derive from its headings, and those that it defines itself. */
function anchorsOf(file: string): Set<string> {
  const text = read(file).replaceAll(/^( *)```.*?^\1```$/gms, '');
  const anchors = new Set([...text.matchAll(/<a id="([^"]+)">/g)].map(([, id = '']) => id));
  const uses = new Map<string, number>();
  for (const [, heading = ''] of text.matchAll(/^#{1,6} (.*)$/gm)) {
    const words = heading.replaceAll(/\[([^\]]*)\]\([^)]*\)|\\/g, '$1').toLowerCase();
    const slug = words.replaceAll(/[^\p{L}\p{M}\p{N}\s_-]/gu, '').replaceAll(/\s/g, '-');
    const count = uses.get(slug) ?? 0;
    anchors.add(count === 0 ? slug : `${slug}-${count}`);
    uses.set(slug, count + 1);
  }
  return anchors;
}

/**
 * Returns the reason why a link leads nowhere. Undefined if its target exists, or if the target is outside the
 * repository.
 */
function faultOf(file: string, target: string): string | undefined {
  if (/^(?:https?|mailto):/.test(target)) return undefined;
  const [path = '', anchor] = target.split('#');
  const there = path === '' ? file : normalize(join(dirname(file), decodeURIComponent(path)));
  if (there.startsWith('..') || !existsSync(join(ROOT, there))) return `${file}: ${target} does not exist`;
  if (anchor === undefined || anchorsOf(there).has(anchor)) return undefined;
  return `${file}: ${target} names no heading`;
}

describe('the links in the documents', () => {
  it('point to files and headings that exist', () => {
    const faults = MARKDOWN.flatMap((file) => targetsOf(file).map((target) => faultOf(file, target)));
    expect(faults.filter((fault) => fault !== undefined)).toEqual([]);
    expect(faults.length).toBeGreaterThan(300);
  });

  it('count as broken if the file, the heading or the case of a letter is wrong', () => {
    expect(faultOf('docs/README.md', 'tutorial/deploy.md#one-region')).toBeUndefined();
    expect(faultOf('docs/README.md', '#how-to-guides')).toBeUndefined();
    expect(faultOf('docs/README.md', 'tutorial/nothing.md')).toContain('does not exist');
    expect(faultOf('docs/README.md', 'tutorial/deploy.md#One-region')).toContain('names no heading');
    expect(faultOf('docs/README.md', '#nothing')).toContain('names no heading');
    expect(faultOf('README.md', '../elsewhere.md')).toContain('does not exist');
  });
});

it('every page of the documents can be reached from docs/README.md', () => {
  const reached = new Set(['docs/README.md']);
  // A loop over a Set also visits members that are added during the loop.
  for (const page of reached) {
    if (!page.endsWith('.md')) continue;
    for (const target of targetsOf(page)) {
      const file = normalize(join(dirname(page), target.split('#')[0] ?? ''));
      if (file.startsWith('docs/') && existsSync(join(ROOT, file))) reached.add(file);
    }
  }
  expect(MARKDOWN.filter((file) => file.startsWith('docs/') && !reached.has(file))).toEqual([]);
});

it('code, templates and scripts name only documents that exist', () => {
  const files = repositoryFiles().filter((path) => /\.(?:[cm]?[jt]s|css|html|json|py|toml|xml|ya?ml)$/.test(path));
  const sources = files.filter((path) => path !== 'package-lock.json' && !path.startsWith('docs/'));
  const named = sources.flatMap((file) =>
    [...read(file).matchAll(/\bdocs\/[\w/.-]+\.(?:json|md|png|svg)\b/g)].map(([path]) => [file, path] as const),
  );
  expect(named.length).toBeGreaterThan(30);
  // The tests of the link checker name pages that do not exist.
  expect(named.filter(([file, path]) => !file.endsWith('docs-links.test.ts') && !existsSync(join(ROOT, path)))).toEqual(
    [],
  );
});

it('the documents name only files and folders that exist', () => {
  const folders = 'bench|deploy|emulators|events|examples|handlers|infra|local|scripts|src|test|tools';
  const named = MARKDOWN.filter((file) => file !== 'CHANGELOG.md').flatMap((file) =>
    [...read(file).matchAll(new RegExp(`\`((?:${folders})/[\\w./-]+)\``, 'g'))].map(
      ([, path = '']) => [file, path] as const,
    ),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(([, path]) => !existsSync(join(ROOT, path)))).toEqual([]);
});
