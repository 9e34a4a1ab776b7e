/** Makes the pages of the library's reference: a page for each entry of package.json, and a list of these pages. */
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { format, resolveConfig } from 'prettier';
import { withUniqueHeadings } from './library-headings.ts';
import { run } from './run.ts';
import { LIBRARY_FOLDER, type Pages } from './written-pages.ts';

const LIST = 'docs/reference/library.md';

interface PackageJson {
  readonly exports: Readonly<Record<string, { readonly types: string }>>;
}

/**
 * @param root the folder of the repository
 * @param tools the folder where typedoc is installed
 */
export async function libraryPages(root: string, tools: string): Promise<Pages> {
  const { exports } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as PackageJson;
  const entries = Object.entries(exports).map(([path, { types }]) => {
    const source = types.replace(/^\.\/dist\//, 'src/').replace(/\.d\.ts$/, '.ts');
    const name = path.replace(/^\./, 'keyfold');
    return { name, file: join(root, source), page: `${name.replaceAll('/', '-')}.md` };
  });
  const out = await mkdtemp(join(tools, 'library-'));
  try {
    const tsconfig = join(out, 'tsconfig.json');
    await writeFile(tsconfig, JSON.stringify(configFor(root, entries)));
    const given = {
      tsconfig,
      out: join(out, 'pages'),
      entries: Object.fromEntries(entries.map(({ name, file }) => [name, file])),
    };
    await run(process.execPath, ['library.js', JSON.stringify(given)], tools);
    const texts = entries.map(async ({ page }) => [page, await readFile(join(out, 'pages', page), 'utf8')] as const);
    const made = withUniqueHeadings(Object.fromEntries(await Promise.all(texts)));
    const pages: Record<string, string> = {};
    const list: string[] = [];
    for (const { name, file, page } of entries) {
      const purpose = purposeOf(await readFile(file, 'utf8'));
      const heading = `# \`${name}\`\n\n${purpose}\n`;
      const text = made[page]?.replace(/^# .*\n/, () => heading) ?? '';
      pages[`${LIBRARY_FOLDER}/${page}`] = await formatted(root, text);
      list.push(`- [${name}](library/${page}): ${purpose.split(/(?<=\.)\s/)[0] ?? ''}`);
    }
    const before = await readFile(join(root, LIST), 'utf8');
    const after = before.replace(/(?<=<!-- entries -->).*(?=<!-- \/entries -->)/s, `\n\n${list.join('\n')}\n\n`);
    return { ...pages, [LIST]: await formatted(root, after) };
  } finally {
    await rm(out, { recursive: true });
  }
}

/** The project's own compiler options, adapted to TypeScript 5, which typedoc uses. */
function configFor(root: string, entries: readonly { readonly file: string }[]): object {
  return {
    extends: join(root, 'tsconfig.json'),
    compilerOptions: { typeRoots: [join(root, 'node_modules', '@types')] },
    include: entries.map(({ file }) => file),
  };
}

/**
 * The purpose of an entry point of the library: its doc comment up to the first tag. The comment is above the list of
 * exports. If the file itself declares a class or a function, the comment is above that declaration.
 */
function purposeOf(source: string): string {
  const comments = [...source.matchAll(/^\/\*\*((?:(?!\*\/).)*)\*\/\nexport (?:type )?(\{|class|function)/gms)];
  const [, comment = ''] = comments.find(([, , exported]) => exported === '{') ?? comments[0] ?? [];
  const lines = comment.split('\n').map((line) => line.replace(/^\s*\*? ?/, ''));
  const [text = ''] = lines.join('\n').trim().split(/^@/m);
  return text.replaceAll(/\{@link (\w+)\}/g, '`$1`').trim();
}

async function formatted(root: string, text: string): Promise<string> {
  const file = join(root, LIST);
  return await format(text, { ...(await resolveConfig(file)), parser: 'markdown' });
}
