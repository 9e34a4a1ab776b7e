/** Links of the documents lead to files and headings that exist, and the code names documents that exist. */
import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { describe, expect, it } from 'vitest';

const root = join(import.meta.dirname, '..', '..', '..');
const tracked = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard'], {
  cwd: root,
  encoding: 'utf8',
});
const files = tracked.split('\n').filter((file) => file !== '' && existsSync(join(root, file)));
const documents = files.filter((file) => file.endsWith('.md'));
const read = (file: string): string => readFileSync(join(root, file), 'utf8');
const withoutCode = (text: string): string => text.replaceAll(/^ *```.*?^ *```$/gms, '');

/** The ids of a document's headings, as the usual forges and the site make them, and of its HTML anchors. */
function idsOf(file: string): Set<string> {
  const text = withoutCode(read(file));
  const ids = new Set([...text.matchAll(/<a id="([^"]+)"/g)].map(([, id = '']) => id));
  const counts = new Map<string, number>();
  for (const [, title = ''] of text.matchAll(/^#+ (.*)$/gm)) {
    const words = title
      .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
      .replaceAll('\\', '')
      .toLowerCase();
    const id = words.replaceAll(/[^\p{L}\p{M}\p{N} _-]/gu, '').replaceAll(' ', '-');
    const count = counts.get(id) ?? 0;
    ids.add(count === 0 ? id : `${id}-${count}`);
    counts.set(id, count + 1);
  }
  return ids;
}

function linksOf(file: string): string[] {
  const text = withoutCode(read(file)).replaceAll(/`[^`\n]*`/g, '');
  return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, link = '']) => link).filter((link) => !/^[a-z]+:/.test(link));
}

describe.for(documents)('%s', (file) => {
  it('has no dead link', () => {
    const dead = linksOf(file).filter((link) => {
      const [path = '', fragment] = link.split('#');
      const target = path === '' ? file : relative(root, join(root, dirname(file), path));
      if (!existsSync(join(root, target))) return true;
      return fragment !== undefined && !(target.endsWith('.md') && idsOf(target).has(fragment));
    });
    expect(dead).toEqual([]);
  });
});

it('code, comments and templates name documents that exist', () => {
  const named = files
    .filter((file) => /\.(?:ts|js|cjs|json|ya?ml|html|css|py|sh)$/.test(file) && !file.includes('package-lock'))
    .flatMap((file) => [...read(file).matchAll(/\bdocs\/[\w/-]+\.md\b/g)].map(([name]) => `${file}: ${name}`));
  expect(named.length).toBeGreaterThan(20);
  expect(named.filter((each) => !existsSync(join(root, each.split(': ')[1] ?? '')))).toEqual([]);
});
