import { readFile, rm } from 'node:fs/promises';
import { KeyfoldError } from '../errors.ts';
import type { Checkpoint } from '../maintenance/reencryption/reencryption.ts';
import { checkReplaceable, replaceAtOnce } from './output-files.ts';

/** The content of a checkpoint file. */
export interface SavedRun extends Checkpoint {
  /** Describes what the run does. A run resumes from this checkpoint only if its own description is the same. */
  readonly run: string;
  /** When the run began, in milliseconds since 1970. */
  readonly startedAtMs: number;
}

/**
 * Reads the checkpoint of an earlier run.
 * @param run a description of what this run does
 * @returns undefined if there is no such file
 * @throws KeyfoldError `InvalidRequest` if the file belongs to another run, or is not a checkpoint
 */
export async function readCheckpoint(file: string, run: string): Promise<SavedRun | undefined> {
  const text = await readFile(file, 'utf8').catch(async (error: NodeJS.ErrnoException): Promise<undefined> => {
    if (error.code === 'ENOENT') return checkReplaceable(file);
    throw new KeyfoldError('InvalidRequest', `The file ${file} cannot be read: ${error.code ?? 'unknown'}.`);
  });
  const saved = text === undefined ? undefined : parsed(text, file);
  if (saved === undefined || saved.run === run) return saved;
  throw new KeyfoldError('InvalidRequest', `The checkpoint ${file} is of another run. Name another file.`);
}

/** Writes a checkpoint. If the process is killed during the write, the previous checkpoint remains intact. */
export function writeCheckpoint(file: string, saved: SavedRun): Promise<void> {
  return replaceAtOnce(file, JSON.stringify(saved));
}

/** Removes the checkpoint of a run that is done. */
export function removeCheckpoint(file: string): Promise<void> {
  return rm(file, { force: true });
}

function parsed(text: string, file: string): SavedRun {
  try {
    const saved = JSON.parse(text) as SavedRun;
    if (typeof saved.run === 'string' && Number.isSafeInteger(saved.startedAtMs) && Array.isArray(saved.counts.keys))
      return saved;
  } catch {
    // Fall through to the error below.
  }
  throw new KeyfoldError('InvalidRequest', `The file ${file} is not a checkpoint of keyfold reencrypt.`);
}
