/**
 * Tests the code blocks in the documents. Each must be in a known language. The tests parse it, compile it, or compare
 * it with the code.
 */
import { Readable } from 'node:stream';
import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { yamlParse } from 'yaml-cfn';
import packageJson from '../../../package.json' with { type: 'json' };
import { deploymentSchema } from '../../../deploy/deployment.ts';
import { readStartOptions } from '../../../local/start-options.ts';
import { EXIT, type CliDependencies } from '../../../src/cli/dependencies.ts';
import { runCli } from '../../../src/cli/program.ts';
import { REMOVED_SETTINGS, settingsSchema } from '../../../src/config/settings.ts';
import { PKCS11_ENTRIES } from '../../../src/config/pkcs11-config.ts';
import { VAULT_ENTRIES } from '../../../src/config/vault-config.ts';
import { codeBlocksOf, commandsOf, MARKDOWN, read, ROOT, type CodeBlock } from '../../support/documents.ts';

/** The documents whose code must be up to date: all except the CHANGELOG, which contains code of earlier versions. */
const DOCUMENTS = MARKDOWN.filter((file) => file !== 'CHANGELOG.md');
const BLOCKS = DOCUMENTS.flatMap(codeBlocksOf);

const blocksIn = (language: string): CodeBlock[] => BLOCKS.filter((block) => block.language === language);
const placeOf = ({ file, line }: CodeBlock): string => `${file}:${line}`;
const withPlaces = (language: string): (readonly [string, string])[] =>
  blocksIn(language).map((block) => [placeOf(block), block.code] as const);

/**
 * Other tests cover some of these languages: js is run, test/peers runs go, java and python, and the audit tests read
 * sql.
 */
const LANGUAGES = new Set(['', 'js', 'json', 'mermaid', 'sh', 'ts', 'yaml', 'go', 'java', 'python', 'sql']);

it('every code block in the documents is in a language that a test covers', () => {
  expect(BLOCKS.length).toBeGreaterThan(100);
  expect(BLOCKS.filter(({ language }) => !LANGUAGES.has(language)).map(placeOf)).toEqual([]);
});

it.for(withPlaces('json'))('the code block at %s is valid JSON', ([, code]) => {
  expect(() => JSON.parse(code) as unknown).not.toThrow();
});

it.for(withPlaces('yaml'))('the code block at %s has only valid options of deploy.yml', ([, code]) => {
  const example = yamlParse(read('deploy.example.yml')) as object;
  const parsed = v.safeParse(deploymentSchema, { ...example, ...(yamlParse(code) as object) });
  expect(parsed.issues?.map(({ message, path }) => [message, path?.map(({ key }) => key)])).toBeUndefined();
});

it.for(withPlaces('mermaid'))('the code block at %s is a diagram that GitHub and GitLab can draw', ([, code]) => {
  expect(code).toMatch(/^(?:flowchart (?:LR|TB|TD)|sequenceDiagram|gantt|stateDiagram-v2|timeline)\n/);
});

/**
 * Stands in for the functions that open a table or a file. A command calls them only after the CLI has accepted its
 * arguments. So the error that this function throws shows that the arguments are valid.
 */
function accepted(): never {
  throw new Error('the arguments are right');
}

/** The pages that a script generates from doc comments. */
const LIBRARY = 'docs/reference/library/';

/** Declares the names that the examples and fragments use but do not declare. */
const GIVEN = `import type * as given from 'keyfold';
declare const kms: given.AwsKms, metastore: given.DynamoDbMetastore, row: given.KeyRow;
declare const keyfold: given.SessionFactory, session: given.Session;
declare const records: given.DataRowRecord[], replace: (record: given.DataRowRecord) => Promise<void>;`;
const GIVEN_TO_CLIENTS = `import type * as given from 'keyfold/client';
declare const keyfold: given.KeyfoldClient, partition: given.PartitionClient, record: given.KeyfoldRecord;
declare const endpoint: string, job: unknown, putBackIntoQueue: (job: unknown) => Promise<void>;`;
const GIVEN_TO_AUTHORS = `${GIVEN}
declare const MyKms: new (options: object) => given.KeyManagementService & given.WrapRenewer;
declare const MyMetastore: new (options: object) => given.Metastore & given.SystemKeyStore;
declare const options: object;`;

/** The source file of each package entry, by the name that programs import. */
const SOURCES = Object.entries(packageJson.exports).map(([entry, { types }]) => {
  const source = types.replace('./dist/', 'src/').replace('.d.ts', '.ts');
  return [entry.replace('.', 'keyfold'), join(ROOT, source)] as const;
});
const ENTRIES = await Promise.all(
  SOURCES.map(async ([name, file]) => [name, Object.keys((await import(file)) as object)] as const),
);

/**
 * Makes a complete module from a block. A fragment becomes the body of a function that can use the entries' exports.
 */
function moduleOf({ file, code }: CodeBlock): string {
  if (/^import /m.test(code) && !file.startsWith(LIBRARY)) return `${code}\nexport {};\n`;
  const words = new Set(code.match(/\b[A-Za-z]\w+\b/g));
  const imports = ENTRIES.filter(([entry]) => entry.includes('client') === file.includes('client')).map(
    ([entry, names]) => `import { ${names.filter((name) => words.has(name)).join(', ')} } from '${entry}';`,
  );
  const own = code.match(/^import [^;]*? from '(?!keyfold)[^']*';$/gm) ?? [];
  const body = code.replaceAll(/^import [^;]*? from '[^']*';$/gm, '');
  const given = file.includes('client') ? GIVEN_TO_CLIENTS : file.includes('testing') ? GIVEN_TO_AUTHORS : GIVEN;
  return `${[...imports, ...own, given].join('\n')}\nexport async function example() {\n${body}\n}\n`;
}

it('the TypeScript code blocks compile', async () => {
  const folder = await mkdtemp(join(ROOT, 'node_modules', '.docs-'));
  // Skip the other blocks on the pages of the library: they are signatures, which a script writes from sources that
  // compile. Skip blocks with a file name as well. They import each other, so docs-plug-ins.test.ts compiles and runs
  // all blocks of a page together.
  const blocks = blocksIn('ts')
    .filter(({ fileName }) => fileName === '')
    .filter(({ file, heading }) => !file.startsWith(LIBRARY) || heading === 'Example');
  try {
    for (const block of blocks) {
      await writeFile(join(folder, `${placeOf(block).replaceAll(/\W/g, '_')}.ts`), moduleOf(block));
    }
    const paths = Object.fromEntries(SOURCES.map(([name, file]) => [name, [file]]));
    const options = { paths, noUnusedLocals: false, noUnusedParameters: false };
    const config = { extends: '../../tsconfig.json', compilerOptions: options, include: ['*.ts'] };
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify(config));
    const tsc = promisify(execFile)(process.execPath, [join(ROOT, 'node_modules/typescript/bin/tsc'), '-p', folder]);
    const { stdout } = await tsc.catch((error: unknown) => error as { stdout: string });
    expect(stdout).toBe('');
    expect(blocks.length).toBeGreaterThan(4);
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe('a shell command in the documents', () => {
  const commands = blocksIn('sh').flatMap((block) =>
    commandsOf(block.code)
      .flatMap((command) => command.split(/ && | \| /))
      .map((command) => [placeOf(block), command.trim()] as const),
  );
  const scripts = Object.keys(packageJson.scripts);

  it('begins with a program that the reader has', () => {
    const own = /^(?:\w+=|\w+\(\) [{(]|\)$|export |unset |deploy |maintain|signed |quota=)/;
    const known =
      /^(?:aws|sam|terraform|bao|bash|cd|cp|curl|echo|eval|git|jq|mkdir|node|npm|npx|openssl|python3|sed|tee|xargs) /;
    expect(commands.length).toBeGreaterThan(100);
    expect(commands.filter(([, command]) => !own.test(command) && !known.test(command))).toEqual([]);
  });

  it('runs an npm script that exists', () => {
    const run = commands.flatMap(([place, command]) => {
      const [, script] = /^npm (?:run (?:-s )?|(?=start|test))([\w:-]+)/.exec(command) ?? [];
      return script === undefined ? [] : [[place, script] as const];
    });
    expect(run.filter(([, script]) => !scripts.includes(script))).toEqual([]);
    expect(run.length).toBeGreaterThan(20);
  });

  it.for(commands.filter(([, command]) => command.startsWith('npm start -- ')))(
    'passes only existing options to npm start (%s: %s)',
    ([, command]) => {
      const args = command.replace('npm start -- ', '').split(' ');
      expect(() => readStartOptions(args)).not.toThrow();
    },
  );

  const keyfold = /^(?:npm run -s keyfold --|npx keyfold) (.*)$/;
  it.for(commands.filter(([, command]) => keyfold.test(command)))(
    'passes only valid arguments to the CLI (%s: %s)',
    async ([, command]) => {
      const [, rest = ''] = keyfold.exec(command) ?? [];
      const words = [...rest.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
      const said: string[] = [];
      const terminal = { out: (text: string) => void said.push(text), err: (text: string) => void said.push(text) };
      const dependencies: CliDependencies = {
        environment: {
          KEYFOLD_SERVICE: 'orders',
          KEYFOLD_PRODUCT: 'shop',
          KEYFOLD_STATIC_MASTER_KEY_HEX: '07'.repeat(32),
          AWS_REGION: 'us-west-2',
          DATABASE_URL: 'postgres://127.0.0.1:9/keys',
        },
        terminal,
        caller: { user: 'reader', host: 'here' },
        now: Date.now,
        openTable: accepted,
        openErasureTables: accepted,
        openImport: accepted,
        openCopy: accepted,
        openKms: accepted,
        inspectTable: accepted,
        inspectKms: accepted,
        inspectQuotas: accepted,
        openRotation: accepted,
        openSessions: accepted,
        openMaintenance: accepted,
        openRows: accepted,
        openCiphertexts: accepted,
        openDatabase: accepted,
        version: '0.0.0',
        stdin: Readable.from([]),
      };
      const code = await runCli(words, dependencies);
      // The files of the examples do not exist here. The CLI reads them only after it has accepted its arguments.
      if (said.some((text) => text.includes('cannot be read: ENOENT'))) return;
      expect({ code, said }).not.toMatchObject({ code: EXIT.usage });
    },
  );
});

it('every setting that the documents name exists', () => {
  const others = ['DEPLOY_FILE', 'METASTORE_URL', 'STATIC_KMS_OVERRIDE', 'URL'];
  const known = new Set([
    ...Object.keys({ ...settingsSchema.entries, ...VAULT_ENTRIES, ...PKCS11_ENTRIES }),
    ...others,
  ]);
  const named = DOCUMENTS.flatMap((file) =>
    [...read(file).matchAll(/\bKEYFOLD_([A-Z][A-Z\d_]*[A-Z])\b/g)].map(([, name = '']) => [file, name] as const),
  );
  // The page about upgrades names settings that no longer exist.
  const wrong = named.filter(
    ([file, name]) => !known.has(name) && !(file.endsWith('upgrading.md') && REMOVED_SETTINGS.has(name)),
  );
  expect(wrong).toEqual([]);
  expect(named.map(([, name]) => name)).toEqual(expect.arrayContaining([...REMOVED_SETTINGS]));
});
