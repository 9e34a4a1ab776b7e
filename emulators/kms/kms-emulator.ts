import { createServer } from 'node:http';
import { onlyFromThisMachine } from '../http-body.ts';
import { close, listen } from '../listen.ts';
import { answerControl, describeRegions, isControl, requireRegion, type RegionView } from './control.ts';
import { parseFault, type FaultInput } from './faults.ts';
import { aliasArn, keyArn, KeyStore } from './key-store.ts';
import { answerKms } from './protocol.ts';
import { Regions, type KmsCall } from './regions.ts';

/** Options of {@link startKmsEmulator}. */
export interface KmsEmulatorOptions {
  /** The port to listen on. If it is 0 or in use, the emulator listens on a free port. The default is 0. */
  readonly port?: number;
  /** A file that keeps the keys and aliases across restarts, unencrypted. Without a file, they are only in memory. */
  readonly dataFile?: string;
  /** Called at the end of each KMS call. */
  readonly onCall?: (call: KmsCall) => void;
}

/** A running emulator of AWS KMS. One endpoint serves all regions. */
export interface KmsEmulator {
  readonly endpoint: string;
  /**
   * Creates an alias with a new key in the default account, unless the alias exists. The key rotates every year, as a
   * key of `infra/keys.yml` does. Returns both ARNs.
   */
  ensureKey(region: string, aliasName: string): Promise<{ keyArn: string; aliasArn: string }>;
  /** Sets the fault of a region. @throws RangeError if the region has no key, or if the fault is invalid */
  setFault(region: string, fault: FaultInput): void;
  clearFault(region: string): void;
  clearFaults(): void;
  /** Describes the keys, the fault and the calls of each region. */
  describe(): readonly RegionView[];
  /** The KMS calls since the start or the last reset, oldest first. */
  calls(): readonly KmsCall[];
  resetCalls(): void;
  /** Stops the emulator immediately and closes all connections, including connections that hang. */
  readonly close: () => Promise<void>;
}

const ACCOUNT = '111122223333';
const ROTATION_DAYS = 365;

/**
 * Starts a KMS emulator on 127.0.0.1. It speaks the JSON protocol of KMS, so AWS SDKs in all languages can call it. Use
 * it only for tests and local runs, because it checks neither signatures nor policies.
 */
export async function startKmsEmulator(options: KmsEmulatorOptions = {}): Promise<KmsEmulator> {
  const store = new KeyStore(options.dataFile);
  const regions = new Regions(options.onCall);
  const server = createServer(
    onlyFromThisMachine((request, response) => {
      const answer = isControl(request) ? answerControl : answerKms;
      answer(store, regions, request, response).catch(() => response.destroy());
    }),
  );
  const port = await listen(server, options.port ?? 0);
  return {
    endpoint: `http://127.0.0.1:${port}`,
    ensureKey: async (region, name) => {
      const place = { region, account: ACCOUNT };
      if (store.alias(place, name) === undefined) {
        const key = store.createKey(place, 'made by keyfold');
        key.rotationDays = ROTATION_DAYS;
        store.setAlias(place, name, key.keyId);
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
