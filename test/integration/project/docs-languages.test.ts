import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, it } from 'vitest';

const ROOT = join(import.meta.dirname, '..', '..', '..');
const LANGUAGES = join('examples', 'languages');

it('docs/how-to/call-from-other-languages.md shows every program of examples/languages unchanged', async () => {
  const page = await readFile(join(ROOT, 'docs', 'how-to', 'call-from-other-languages.md'), 'utf8');
  const shown = [...page.matchAll(/<!-- (examples\/languages\/\S+) -->\n\n```\w+\n(.*?)```/gs)];
  for (const [, file = '', program] of shown) expect(program).toBe(await readFile(join(ROOT, file), 'utf8'));
  const files = await readdir(join(ROOT, LANGUAGES), { recursive: true });
  const programs = files.filter((file) => /\.(?:py|java)$|main\.go$/.test(file)).map((file) => join(LANGUAGES, file));
  expect(programs.length).toBeGreaterThan(0);
  expect(new Set(shown.map(([, file]) => file))).toEqual(new Set(programs));
});
