import type { SectionResult } from './figures.ts';

/** The sections of the benchmark in the order in which they run, each in its own process. */
export const SECTIONS = {
  library: async () => (await import('./contestants.ts')).measureLibrary(),
  handler: async () => (await import('./handler.ts')).measureHandler(),
  context: async () => (await import('./context.ts')).measureContext(),
  queue: async () => (await import('./queue.ts')).measureQueue(),
  verify: async () => (await import('./verify.ts')).measureVerify(),
  reencrypt: async () => (await import('./reencrypt.ts')).measureReencrypt(),
  'hostile input': async () => (await import('./hostile.ts')).measureHostileInput(),
  contestants: async () => (await import('./contestants.ts')).measureContestants(),
  calls: async () => (await import('./calls.ts')).countCalls(),
  vault: async () => (await import('./vault.ts')).measureVault(),
  'cold start': async () => (await import('./cold-start/figures.ts')).measureColdStartSection(),
  memory: async () => (await import('./memory.ts')).measureMemory(),
} satisfies Record<string, () => Promise<SectionResult>>;

export type SectionName = keyof typeof SECTIONS;
