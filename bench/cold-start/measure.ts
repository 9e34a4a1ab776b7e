import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { CallJournal } from '../../local/call-journal.ts';
import { startDynamoDb } from '../../local/dynamodb.ts';
import { ensureKeys, functionEnvironment } from '../../local/function-environment.ts';
import { startKmsEmulator } from '../../emulators/kms/kms-emulator.ts';
import { installLambdaRuntime } from '../../test/peers/lambda-runtime.ts';
import { prepareStarters, startCold, STARTERS, type ColdStart, type Starter } from './starts.ts';

/** The cold-start measurements. */
export interface ColdStarts {
  /** Medians over all rounds. */
  readonly medians: Readonly<Record<Starter, ColdStart>>;
  /**
   * The CPU time to load the built bundle, divided by the CPU time to load the default bundle. Median and quartiles
   * over the rounds.
   */
  readonly ratio: { readonly value: number; readonly lower: number; readonly upper: number };
  readonly rounds: number;
  /** The calls that a process makes during its first request, for a service without keys and for one with keys. */
  readonly calls: { readonly ofNewService: string; readonly ofKnownPartition: string };
}

const REGIONS = ['us-west-2', 'us-east-1'];
const EVENT = new URL('../../events/api-encrypt-iam.json', import.meta.url);

/**
 * Measures, on emulators, cold starts of the variants in {@link STARTERS}. The variants take turns, so that other load
 * on the machine slows each of them equally.
 */
export async function measureColdStarts(rounds: number): Promise<ColdStarts> {
  await installLambdaRuntime();
  const event: unknown = JSON.parse(await readFile(EVENT, 'utf8'));
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-cold-start-'));
  const journal = new CallJournal();
  const kms = await startKmsEmulator({
    onCall: ({ region, action, outcome }) => journal.note({ service: 'KMS', region, action, keyId: null, outcome }),
  });
  const dynamoDb = await startDynamoDb('EncryptionKey', 0, undefined, (call) => journal.note(call));
  try {
    await prepareStarters(folder);
    const keys = await ensureKeys(kms, REGIONS);
    const environment = {
      ...functionEnvironment({ kms: kms.endpoint, dynamoDb: dynamoDb.endpoint, keys }),
      KEYFOLD_SERVICE: 'cold',
      KEYFOLD_PRODUCT: 'start',
    };
    const start = (name: Starter): Promise<ColdStart> => startCold(folder, name, environment, event);
    const callsOfStart = async (): Promise<string> => {
      const { position } = journal;
      await start('built');
      return counted(journal.since(position).map(({ service, action }) => `${service} ${action}`));
    };
    const calls = { ofNewService: await callsOfStart(), ofKnownPartition: await callsOfStart() };
    const measured: Record<Starter, ColdStart[]> = { empty: [], plain: [], built: [], preloaded: [] };
    for (let round = 0; round < rounds; round += 1) {
      const order = round % 2 === 0 ? STARTERS : STARTERS.toReversed();
      for (const name of order) measured[name].push(await start(name));
    }
    return { ...summaryOf(measured), rounds, calls };
  } finally {
    await Promise.all([kms.close(), dynamoDb.close(), rm(folder, { recursive: true })]);
  }
}

function summaryOf(measured: Readonly<Record<Starter, readonly ColdStart[]>>): Pick<ColdStarts, 'medians' | 'ratio'> {
  const ratios = measured.built.map(({ loadCpuMs }, i) => loadCpuMs / (measured.plain[i]?.loadCpuMs ?? Number.NaN));
  const ratio = { value: quantile(ratios, 0.5), lower: quantile(ratios, 0.25), upper: quantile(ratios, 0.75) };
  const { empty, plain, built, preloaded } = measured;
  const medians = {
    empty: medianOf(empty),
    plain: medianOf(plain),
    built: medianOf(built),
    preloaded: medianOf(preloaded),
  };
  return { medians, ratio };
}

function medianOf(starts: readonly ColdStart[]): ColdStart {
  const median = (what: keyof ColdStart): number =>
    quantile(
      starts.map((start) => start[what]),
      0.5,
    );
  return {
    loadCpuMs: median('loadCpuMs'),
    startCpuMs: median('startCpuMs'),
    requestCpuMs: median('requestCpuMs'),
    requestWallMs: median('requestWallMs'),
    peakMiB: median('peakMiB'),
    coldWallMs: median('coldWallMs'),
    warmWallMs: median('warmWallMs'),
  };
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.round(share * (sorted.length - 1))] ?? Number.NaN;
}

/** Formats calls, such as `2 DynamoDB Query, 1 KMS Decrypt`. */
function counted(calls: readonly string[]): string {
  const groups = Map.groupBy(calls, (call) => call);
  return [...groups].map(([call, { length }]) => `${length} ${call}`).join(', ');
}
