import { createSecretKey } from 'node:crypto';
import { open, seal } from '../envelope/aead.ts';
import { invalidConfiguration } from '../envelope/errors.ts';
import type { Deadline, KeyManagementService, Unwrapped } from '../envelope/ports.ts';
import { KEY_BYTES } from '../envelope/random.ts';
import { everyRegionFailed, RegionFault } from './faults.ts';
import { decodeKekEnvelope, encodeKekEnvelope, type KekEnvelope, type RegionalKek } from './kek-envelope.ts';
import { keyFaults, parseKmsArn } from './key-arn.ts';
import { RegionalKms, type KmsTimeouts, type RegionState } from './regional-kms.ts';

/** What {@link AwsKms} is made of. */
export interface AwsKmsOptions {
  /** For each region, the key ARN or alias ARN of its KMS key. */
  readonly keys: Readonly<Record<string, string>>;
  /** The region that is asked first: the one this process runs in, as a rule. */
  readonly preferredRegion: string;
  readonly timeouts?: Partial<KmsTimeouts>;
  /** Replaces AWS's endpoint in every region, for an emulator. */
  readonly endpoint?: string;
  readonly events?: KmsEvents;
}

/** What an operator wants to know of and no caller sees. */
export interface KmsEvents {
  /** A region failed where another may yet answer. */
  regionFailed(fault: RegionFault): void;
  /** A System Key was made that this region cannot open. */
  wrapMissing(region: string): void;
}

const DEFAULT_TIMEOUTS: KmsTimeouts = { connectionTimeoutMs: 1000, requestTimeoutMs: 2000 };

/**
 * AWS KMS over several regions. A System Key is sealed by a data key that a KMS key of each region wraps, so that any one
 * region opens it. The keys need not know of each other.
 */
export class AwsKms implements KeyManagementService {
  /** In the order in which they are asked. */
  readonly #regions: readonly RegionalKms[];
  readonly #events: KmsEvents;

  /** @throws KeyfoldError `InvalidConfiguration`, listing each region and ARN at fault */
  constructor(options: AwsKmsOptions) {
    const { keys, preferredRegion, timeouts, endpoint } = options;
    const faults = keyFaults(keys, preferredRegion);
    if (faults.length > 0) throw invalidConfiguration(faults);
    const accounts = new Set(Object.values(keys).map((arn) => parseKmsArn(arn)?.account ?? ''));
    const allTimeouts = { ...DEFAULT_TIMEOUTS, ...timeouts };
    this.#regions = Object.entries(keys)
      .toSorted(([a], [b]) => Number(b === preferredRegion) - Number(a === preferredRegion))
      .map(([region, arn]) => new RegionalKms(region, arn, accounts, allTimeouts, endpoint));
    this.#events = options.events ?? { regionFailed: () => {}, wrapMissing: () => {} };
  }

  /** Each region as last seen, the preferred first; makes no call. */
  regionStates(): RegionState[] {
    return this.#regions.map((region) => region.state);
  }

  async wrap(key: Uint8Array, deadline: Deadline): Promise<Uint8Array> {
    const { region, answer } = await this.#firstAnswer(this.#regions, (r) => r.generateDataKey(deadline));
    const first = { region: region.region, arn: answer.arn, encryptedKek: answer.wrapped };
    try {
      const dataKey = createSecretKey(answer.plaintext);
      const others = this.#regions.filter((other) => other !== region);
      const keks = await Promise.all(others.map((other) => this.#wrapIn(other, answer.plaintext, deadline)));
      const kmsKeks = [first, ...keks.filter((kek) => kek !== undefined)];
      return encodeKekEnvelope({ encryptedKey: seal(dataKey, key), kmsKeks });
    } finally {
      answer.plaintext.fill(0);
    }
  }

  async unwrap(wrapped: Uint8Array, deadline: Deadline): Promise<Unwrapped> {
    const envelope = decodeKekEnvelope(wrapped);
    if (envelope === undefined) return { unreadable: 'it is not wrapped by KMS' };
    const regions = this.#regions.filter(({ region }) => envelope.kmsKeks.some((kek) => kek.region === region));
    if (regions.length === 0) return { unreadable: 'no configured region has wrapped it' };
    const faults: RegionFault[] = [];
    try {
      const { answer } = await this.#firstAnswer(regions, (region) => openIn(region, envelope, deadline), faults);
      return { key: answer };
    } catch (error) {
      if (faults.length < regions.length || faults.some((fault) => fault.faultClass !== 'corrupt')) throw error;
      return { unreadable: `it opens in no region (${faults.map((f) => `${f.region} ${f.errorName}`).join(', ')})` };
    }
  }

  /** The first region's answer, in order; what failed before is in `faults`. */
  async #firstAnswer<T>(
    regions: readonly RegionalKms[],
    ask: (region: RegionalKms) => Promise<T>,
    faults: RegionFault[] = [],
  ): Promise<{ region: RegionalKms; answer: T }> {
    for (const region of regions) {
      try {
        return { region, answer: await ask(region) };
      } catch (error) {
        faults.push(this.#reported(error));
      }
    }
    throw everyRegionFailed(faults);
  }

  async #wrapIn(region: RegionalKms, dataKey: Uint8Array, deadline: Deadline): Promise<RegionalKek | undefined> {
    try {
      const { wrapped, arn } = await region.encrypt(dataKey, deadline);
      return { region: region.region, arn, encryptedKek: wrapped };
    } catch (error) {
      this.#reported(error);
      this.#events.wrapMissing(region.region);
      return undefined;
    }
  }

  /** Reports a region's fault. Anything else, such as a deadline that has come, is thrown on. */
  #reported(error: unknown): RegionFault {
    if (!(error instanceof RegionFault)) throw error;
    this.#events.regionFailed(error);
    return error;
  }
}

/** Opens a System Key with one region's wraps of its data key, of which there may be several. */
async function openIn(region: RegionalKms, envelope: KekEnvelope, deadline: Deadline): Promise<Buffer> {
  let fault: unknown;
  for (const kek of envelope.kmsKeks) {
    if (kek.region !== region.region) continue;
    for (const keyId of keysToTry(kek, region)) {
      try {
        return openWith(await region.decrypt(kek.encryptedKek, keyId, deadline), envelope, region);
      } catch (error) {
        fault = error;
        if (!isRefusal(error)) throw error;
      }
    }
  }
  throw fault;
}

/** Our own wraps name the key that made them. Asherah's name what it was configured with, which may have moved since. */
function keysToTry(kek: RegionalKek, region: RegionalKms): (string | undefined)[] {
  return parseKmsArn(kek.arn)?.kind === 'key' ? [kek.arn] : [region.keyArn, undefined];
}

/** Whether another wrap or another key of the same region may open what this one did not. */
function isRefusal(error: unknown): boolean {
  return error instanceof RegionFault && (error.faultClass === 'misconfigured' || error.faultClass === 'corrupt');
}

function openWith(dataKey: Buffer, envelope: KekEnvelope, { region }: RegionalKms): Buffer {
  try {
    const key = dataKey.length === KEY_BYTES ? open(createSecretKey(dataKey), envelope.encryptedKey) : undefined;
    if (key !== undefined) return key;
    throw new RegionFault(region, 'Decrypt', 'corrupt', 'SystemKeyDoesNotOpen');
  } finally {
    dataKey.fill(0);
  }
}
