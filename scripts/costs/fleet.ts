/** The assumptions about a fleet. prices.json explains each value. */
export interface FleetAssumptions {
  readonly hoursInMonth: number;
  readonly peakFactor: number;
  readonly durationMs: number;
  readonly headroomDeviations: number;
  readonly processLifetimeHours: number;
  readonly cacheAgeMinutes: number;
  readonly expireAfterDays: number;
  readonly regions: number;
  readonly partitions: number;
  readonly systemKeysInUse: number;
  readonly systemKeysStored: number;
  readonly readsPerPair: number;
  readonly olderKeyReadsPerPair: number;
}

/** What a fleet does in a month. */
export interface FleetMonth {
  readonly requests: number;
  /** The number of processes that are warm at the same time. */
  readonly processes: number;
  readonly coldStarts: number;
  /** The number of KMS calls that unwrap, create and maintain System Keys. */
  readonly kmsCalls: number;
  /** The number of the `kmsCalls` that unwrap System Keys in processes that serve requests. */
  readonly unwraps: number;
  /** The number of reads of Intermediate Keys. A request waits for each of them. */
  readonly partitionReads: number;
  readonly systemKeyReads: number;
  /**
   * The number of new Intermediate Keys. A process writes each of them once, and DynamoDB copies it to each replica.
   */
  readonly keysMade: number;
}

/** The number of processes that serve a given rate of requests. Lambda runs one request at a time in each process. */
export function processesFor(ratePerSecond: number, assumed: FleetAssumptions): number {
  const busy = (ratePerSecond * assumed.peakFactor * assumed.durationMs) / 1000;
  return Math.max(1, Math.ceil(busy + assumed.headroomDeviations * Math.sqrt(busy)));
}

/**
 * Computes the calls that a month's requests cause. During one cache age, a process makes one unwrap for each System
 * Key that it needs, and one read for each partition that it serves. Of `processes × partitions` pairs, random requests
 * use the share `1 - (1 - 1/pairs)^requests`. test/integration/project/costs.test.ts compares the result with the calls
 * that the code makes.
 */
export function monthOf(ratePerSecond: number, assumed: FleetAssumptions): FleetMonth {
  const { hoursInMonth, processLifetimeHours, cacheAgeMinutes, partitions, regions } = assumed;
  const processes = processesFor(ratePerSecond, assumed);
  const coldStarts = (processes * hoursInMonth) / processLifetimeHours;
  const agesInLife = Math.ceil((processLifetimeHours * 60) / cacheAgeMinutes);
  const ages = (hoursInMonth / processLifetimeHours) * agesInLife;
  const requests = ratePerSecond * 3600 * hoursInMonth;
  const pairsMet = ages * pairsMetBy(requests / ages, processes * partitions);
  const systemKeyLoads = coldStarts * agesInLife * assumed.systemKeysInUse;
  const lives = hoursInMonth / (assumed.expireAfterDays * 24);
  // Each day, the maintenance unwraps each System Key in every region. If an alias names the KMS key, the maintenance
  // also makes one wrap for each System Key and region, to learn which key the alias names now.
  const maintenance = (hoursInMonth / 24) * assumed.systemKeysStored * regions * 2;
  return {
    requests,
    processes,
    coldStarts,
    unwraps: systemKeyLoads,
    kmsCalls: systemKeyLoads + lives * regions + maintenance,
    partitionReads: pairsMet * (assumed.readsPerPair + assumed.olderKeyReadsPerPair),
    systemKeyReads: systemKeyLoads,
    keysMade: lives * partitions,
  };
}

/** The expected number of different pairs, if each request uses a random pair. */
export function pairsMetBy(requests: number, pairs: number): number {
  return pairs === 1 ? Math.min(1, requests) : -pairs * Math.expm1(requests * Math.log1p(-1 / pairs));
}
