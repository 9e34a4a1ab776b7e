import { appendFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { KeyfoldError } from '../errors.ts';
import { partialOf } from '../rows/json-lines.ts';

/**
 * Checks the files of a command before it begins. A file must not have two uses, because the command would overwrite
 * the source or its own output.
 * @param files the files, keyed by the argument or option that names each
 * @throws KeyfoldError `InvalidRequest` if a name is empty, or if two options name one file
 */
export async function checkFiles(files: Readonly<Record<string, string | undefined>>): Promise<void> {
  const known = new Map<string, string>();
  for (const [option, file] of Object.entries(files)) {
    if (file === undefined) continue;
    checkName(option, file);
    const identity = await identityOf(file);
    if (identity === undefined) continue;
    const other = known.get(identity);
    if (other !== undefined) throw invalid(`${other} and ${option} are the same file, ${file}.`);
    known.set(identity, option);
  }
}

/** Identifies a file, even if its name is a link. Undefined for a device such as `/dev/null`, and for a directory. */
async function identityOf(file: string): Promise<string | undefined> {
  try {
    const found = await stat(file, { bigint: true });
    return found.isFile() ? `${found.dev}:${found.ino}` : undefined;
  } catch {
    // The file does not exist yet.
    const folder = await realpath(dirname(file)).catch(() => dirname(file));
    return join(folder, basename(file));
  }
}

/**
 * @throws KeyfoldError `InvalidRequest` if the name of a file is empty, for example because a shell variable is not set
 */
export function checkName(option: string, file: string): void {
  if (file === '') throw invalid(`${option} names no file.`);
}

/**
 * Creates an output file unless it exists, so that a wrong name stops the command before it does any work.
 * @throws KeyfoldError `InvalidRequest` if the file cannot be written
 */
export async function prepareFile(file: string): Promise<void> {
  await appendFile(file, '', { mode: 0o600 }).catch((error: unknown): never => {
    throw invalid(unwritable(file, error));
  });
}

/** Appends a line. @throws Error that names the file, if it cannot be written */
export async function appendLine(file: string, line: string): Promise<void> {
  await appendFile(file, `${line}\n`, { mode: 0o600 }).catch(unwritten(file));
}

/** Replaces the content of a file. @throws Error that names the file, if it cannot be written */
export async function replaceContent(file: string, text: string): Promise<void> {
  await writeFile(file, `${text}\n`, { mode: 0o600 }).catch(unwritten(file));
}

/**
 * Checks that {@link replaceAtOnce} can create a file, so that a wrong name stops the command before it does any work.
 * @throws KeyfoldError `InvalidRequest` if the file cannot be written
 */
export async function checkReplaceable(file: string): Promise<undefined> {
  const partial = partialOf(file);
  await writeFile(partial, '', NEW_FILE).catch((error: unknown): never => {
    throw invalid(unwritable(file, error));
  });
  await rm(partial);
}

/**
 * Replaces the content of a file. If the process or the machine stops meanwhile, the file keeps its old content.
 * @throws Error that names the file, if it cannot be written
 */
export async function replaceAtOnce(file: string, text: string): Promise<void> {
  const partial = partialOf(file);
  try {
    await writeFile(partial, `${text}\n`, { ...NEW_FILE, flush: true });
    await rename(partial, file);
  } catch (error) {
    await rm(partial, { force: true });
    return unwritten(file)(error);
  }
}

const NEW_FILE = { mode: 0o600, flag: 'wx' } as const;

function unwritten(file: string): (error: unknown) => never {
  return (error) => {
    throw new Error(unwritable(file, error));
  };
}

function unwritable(file: string, error: unknown): string {
  return `The file ${file} cannot be written: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}.`;
}

function invalid(message: string): KeyfoldError {
  return new KeyfoldError('InvalidRequest', message);
}
