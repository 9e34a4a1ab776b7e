/** Writes a file with the licences of all packages whose code is in a bundle, into the bundle's folder. */
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Metafile } from 'esbuild';

const ROOT = join(import.meta.dirname, '..');

/** The name of the file with a bundle's licences, in the bundle's folder. */
export const LICENCES_FILE = 'THIRD-PARTY-LICENSES.txt';

/** The licences under which Keyfold may ship code. None of them imposes conditions on the users' own code. */
const ALLOWED: ReadonlySet<string> = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'ISC',
  'MIT',
  'MIT-0',
]);

/**
 * The licence texts of packages that publish none, keyed by scope. All packages of a scope have the same authors and
 * licence.
 */
const TEXTS: Readonly<Record<string, string>> = {
  '@aws-lambda-powertools': 'scripts/licence-texts/powertools.txt',
  '@aws-sdk': 'node_modules/@aws-sdk/core/LICENSE',
  '@middy': 'scripts/licence-texts/middy.txt',
};

interface Manifest {
  readonly name: string;
  readonly version: string;
  readonly license?: string;
}

/** Returns the folders of the packages whose code is in the outputs of a build, relative to the repository. */
export function packagesIn({ outputs }: Metafile): string[] {
  const folders = Object.values(outputs)
    .flatMap(({ inputs }) => Object.entries(inputs))
    .filter(([, { bytesInOutput }]) => bytesInOutput > 0)
    .map(([path]) => /node_modules\/(?:.*\/node_modules\/)?(?:@[^/]+\/)?[^/]+/.exec(path)?.[0])
    .filter((folder) => folder !== undefined);
  return [...new Set(folders)].toSorted();
}

/**
 * @param paths the folders of packages, relative to the project
 * @throws Error if a package's version is not the one in the lock file, for example because `npm ci` did not run
 * after an update
 */
async function checkLocked(paths: readonly string[], project: string): Promise<void> {
  const lock = JSON.parse(await readFile(join(project, 'package-lock.json'), 'utf8')) as {
    readonly packages: Readonly<Record<string, { readonly version?: string }>>;
  };
  const versionOf = async (path: string): Promise<string> =>
    (JSON.parse(await readFile(join(project, path, 'package.json'), 'utf8')) as Manifest).version;
  const versions = await Promise.all(paths.map(versionOf));
  const others = paths.filter((path, i) => versions[i] !== lock.packages[path]?.version);
  if (others.length === 0) return;
  throw new Error(`These packages do not have the versions of package-lock.json: ${others.join(', ')}. Run npm ci.`);
}

/**
 * Writes the licences of the packages in a build. Each text appears once, below the names of its packages.
 * @param folder the folder of the bundle
 * @param project the folder that contains `node_modules` and the lock file
 * @throws Error if a package has no licence text, or a licence under which its code may not be shipped
 * @throws Error as {@link checkLocked} does
 */
export async function writeLicences(metafile: Metafile, folder: string, project = ROOT): Promise<void> {
  const packagesByText = new Map<string, string[]>();
  const paths = packagesIn(metafile);
  await checkLocked(paths, project);
  for (const path of paths) {
    const { heading, text } = await licenceOf(join(project, path));
    packagesByText.set(text, [...(packagesByText.get(text) ?? []), heading]);
  }
  const sections = Array.from(
    packagesByText,
    ([text, headings]) => `${[...new Set(headings)].join('\n')}\n\n${text}\n`,
  );
  const rule = `\n${'-'.repeat(80)}\n\n`;
  await writeFile(
    join(folder, LICENCES_FILE),
    ['These packages are part of the code beside this file.\n', ...sections].join(rule),
  );
}

/**
 * Returns a package's name, version and licence, and the texts of its licence and its notices.
 * @throws Error as {@link writeLicences} does
 */
export async function licenceOf(folder: string): Promise<{ readonly heading: string; readonly text: string }> {
  const {
    name,
    version,
    license = 'no licence',
  } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;
  if (!ALLOWED.has(license)) throw new Error(`${name} is under ${license}, so no bundle may contain it`);
  const files = (await readdir(folder)).filter((file) => /^(?:licen[cs]e|copying|.*notice)(?:\.\w+)?$/i.test(file));
  const ofScope = TEXTS[name.split('/')[0] ?? ''];
  const paths = files.length > 0 ? files.toSorted().map((file) => join(folder, file)) : [];
  if (paths.length === 0 && ofScope !== undefined) paths.push(join(ROOT, ofScope));
  if (paths.length === 0) throw new Error(`${name} has no licence text: add one to scripts/licence-texts`);
  const texts = await Promise.all(paths.map((path) => readFile(path, 'utf8')));
  return { heading: `${name} ${version} (${license})`, text: texts.map((text) => text.trim()).join('\n\n') };
}
