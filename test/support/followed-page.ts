/** Follows a page of the documents: runs its shell commands one by one, in the order of the page. */
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Environment } from '../../src/config/app-config.ts';
import { codeBlocksOf, commandsOf, ROOT } from './documents.ts';
import type { CliRun } from './operator.ts';
import { wordsOf } from './pasted.ts';

const run = promisify(execFile);

/** How a test follows a page. */
interface FollowedPageOptions {
  /** The folder in which the commands find their files. */
  readonly folder: string;
  /** Runs the CLI, with the environment that the page has exported so far. */
  readonly keyfold: (args: readonly string[], environment: Environment) => Promise<CliRun>;
  /** Replaces texts of the page, such as the names of tables and the dates of keys, by the test's own values. */
  readonly values?: Readonly<Record<string, string>>;
  /** Which headings' commands to follow. Default: all. */
  readonly only?: (heading: string) => boolean;
}

/** Matches the name of a file in a command. The page gives these names without a folder. */
const FILE = /^[\w-]+\.(?:jsonl?|report)$/;
const KEYFOLD = 'npm run -s keyfold -- ';
const VECTORS = 'npm run -s vectors -- ';

export class FollowedPage {
  readonly #options: FollowedPageOptions;
  readonly #commands: string[];
  readonly #environment: Record<string, string> = {};
  #last = '';

  /** @param file the path of the page, relative to the repository's root */
  constructor(file: string, options: FollowedPageOptions) {
    this.#options = options;
    this.#commands = codeBlocksOf(file)
      .filter(({ language, heading }) => language === 'sh' && (options.only?.(heading) ?? true))
      .flatMap(({ code }) => commandsOf(code));
  }

  /**
   * Runs the next command of the page.
   * @param beginning how the command begins on the page. `keyfold` stands for `npm run -s keyfold --`.
   * @param values more texts of the page, each with its replacement. They apply to this command only.
   */
  run(beginning: string, values: Readonly<Record<string, string>> = {}): Promise<CliRun> {
    this.#last = withValues(this.#next(beginning), { ...this.#options.values, ...values });
    return this.again();
  }

  /** Runs the last command again. */
  async again(): Promise<CliRun> {
    const { folder, keyfold } = this.#options;
    if (this.#last.startsWith(VECTORS)) {
      const args = ['scripts/vectors.ts', ...wordsOf(this.#last.slice(VECTORS.length))];
      return { code: 0, ...(await run(process.execPath, args, { cwd: ROOT })) };
    }
    if (!this.#last.startsWith(KEYFOLD)) throw new Error(`The test cannot run this command: ${this.#last}`);
    const words = wordsOf(this.#last.slice(KEYFOLD.length));
    return keyfold(
      words.map((word) => (FILE.test(word) ? join(folder, word) : word)),
      this.#environment,
    );
  }

  /**
   * Skips the next command of the page, because the test does the command's work in another way. Returns the command.
   */
  pass(beginning: string): string {
    return this.#next(beginning);
  }

  /** The commands of the page that the test has neither run nor skipped. */
  left(): readonly string[] {
    return this.#commands;
  }

  #next(beginning: string): string {
    const command = this.#commands.shift() ?? 'nothing more';
    if (command.startsWith('export ')) {
      const pairs = withValues(command, this.#options.values).matchAll(/(\w+)=(?:'([^']*)'|(\S+))/g);
      for (const [, name = '', quoted, bare = ''] of pairs) this.#environment[name] = quoted ?? bare;
      return this.#next(beginning);
    }
    if (command.replace(KEYFOLD, 'keyfold ').startsWith(beginning)) return command;
    throw new Error(`The page has ${command} where the test expects ${beginning}`);
  }
}

function withValues(command: string, values: Readonly<Record<string, string>> = {}): string {
  return Object.entries(values).reduce((text, [shown, own]) => text.replaceAll(shown, own), command);
}
