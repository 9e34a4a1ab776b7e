/** Runs curl commands from the documents with fetch, because a machine may not have curl. */
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** The words of a command, without their quotes. */
export function wordsOf(command: string): string[] {
  return [...command.matchAll(/'([^']*)'|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare ?? '');
}

/**
 * Runs one curl command. The command may have the options `-s`, `-X`, `-H` and `-d`, and may pipe its output to `tee`.
 * @param folder the folder in which `-d @FILE` and `tee FILE` find their files
 */
export async function runCurl(command: string, folder: string): Promise<{ status: number; body: string }> {
  const [call = '', file] = command.split(' | tee ');
  const words = wordsOf(call);
  const option = (name: string): string | undefined => words[words.indexOf(name) + 1 || Infinity];
  const data = option('-d');
  const sent = data?.startsWith('@') === true ? await readFile(join(folder, data.slice(1))) : data;
  const [name = 'x-none', value = ''] = option('-H')?.split(': ') ?? [];
  const method = option('-X') ?? (sent === undefined ? 'GET' : 'POST');
  const url = words.find((word) => word.startsWith('http')) ?? '';
  const answer = await fetch(url, { method, headers: { [name]: value }, ...(sent && { body: sent }) });
  const body = await answer.text();
  if (file !== undefined) await writeFile(join(folder, file), body);
  return { status: answer.status, body };
}
