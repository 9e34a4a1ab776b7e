import { createServer } from 'node:http';
import { close, listen } from '../listen.ts';
import { answerControl, describeRegions, isControl, requireRegion, type RegionView } from './control.ts';
import { parseFault, type FaultInput } from './faults.ts';
import { aliasArn, keyArn, KeyStore } from './key-store.ts';
import { answerKms } from './protocol.ts';
import { Regions, type KmsCall } from './regions.ts';

/** How to start the emulator. */
export interface KmsEmulatorOptions {
  /** The port wished for; a free one is taken where it is in use, or for 0. */
  readonly port?: number;
  /** A file that keeps keys and aliases over restarts, in the clear; without it they are in memory. */
  readonly dataFile?: string;
  /** Is told of each call as it ends. */
  readonly onCall?: (call: KmsCall) => void;
}

/** A running emulator of AWS KMS, of all regions at one endpoint. */
export interface KmsEmulator {
  readonly endpoint: string;
  /** Makes sure that a region has a key behind an alias, in the default account. */
  ensureKey(region: string, aliasName: string): Promise<{ keyArn: string; aliasArn: string }>;
  /** @throws RangeError for a region that has no key, and for what is no fault */
  setFault(region: string, fault: FaultInput): void;
  clearFault(region: string): void;
  clearFaults(): void;
  /** Keys, fault and calls of each region. */
  describe(): readonly RegionView[];
  /** What was called, oldest first. */
  calls(): readonly KmsCall[];
  resetCalls(): void;
  /** Ends it at once, with whatever hangs. */
  readonly close: () => Promise<void>;
}

const ACCOUNT = '111122223333';

/**
 * Starts an emulator on 127.0.0.1. It speaks KMS's JSON protocol to the AWS SDK of any language, and is for tests and
 * local runs only: it checks no signature and no policy.
 */
export async function startKmsEmulator(options: KmsEmulatorOptions = {}): Promise<KmsEmulator> {
  const store = new KeyStore(options.dataFile);
  const regions = new Regions(options.onCall);
  const server = createServer((request, response) => {
    const answer = isControl(request) ? answerControl : answerKms;
    answer(store, regions, request, response).catch(() => response.destroy());
  });
  const port = await listen(server, options.port ?? 0);
  return {
    endpoint: `http://127.0.0.1:${port}`,
    ensureKey: async (region, name) => {
      const place = { region, account: ACCOUNT };
      if (store.alias(place, name) === undefined) {
        store.setAlias(place, name, store.createKey(place, 'made by keyfold').keyId);
        await store.save();
      }
      return { keyArn: keyArn(store.find(place, name)), aliasArn: aliasArn({ ...place, name, keyId: '' }) };
    },
    setFault: (region, fault) => {
      requireRegion(store, region);
      regions.setFault(region, parseFault(fault));
    },
    clearFault: (region) => {
      requireRegion(store, region);
      regions.clearFault(region);
    },
    clearFaults: () => regions.clearFaults(),
    describe: () => describeRegions(store, regions),
    calls: () => regions.calls(),
    resetCalls: () => regions.resetCalls(),
    close: () => close(server),
  };
}
