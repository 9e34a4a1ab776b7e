/** The assumptions about a fleet. prices.json explains each. */
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

/** The work of a fleet in a month. */
export interface FleetMonth {
  readonly requests: number;
  /** The number of processes that are warm at the same time. */
  readonly processes: number;
  readonly coldStarts: number;
  /** The KMS calls that unwrap, make and maintain System Keys. */
  readonly kmsCalls: number;
  /** The part of `kmsCalls` by which processes that serve requests unwrap System Keys. */
  readonly unwraps: number;
  /** The reads of Intermediate Keys. A request waits for each. */
  readonly partitionReads: number;
  readonly systemKeyReads: number;
  /** The new Intermediate Keys. Each is written once, and the table writes it to each replica. */
  readonly keysMade: number;
}

/** The number of processes for a rate of requests. Lambda runs one request at a time in each process. */
export function processesFor(ratePerSecond: number, assumed: FleetAssumptions): number {
  const busy = (ratePerSecond * assumed.peakFactor * assumed.durationMs) / 1000;
  return Math.max(1, Math.ceil(busy + assumed.headroomDeviations * Math.sqrt(busy)));
}

/**
 * The calls that a month's requests come to. A process unwraps each System Key that it meets once in a cache age, and
 * reads the keys of each partition that it meets once in one: of `processes × partitions` pairs, requests that come at
 * random meet `1 - (1 - 1/pairs)^requests`. How many the code makes is held against this in
 * test/integration/project/costs.test.ts.
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
  // Each day, the maintenance lets every region open each key. For an alias, it also wraps once, to learn its current
  // key.
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

/** The expected number of distinct pairs that requests meet at random. */
export function pairsMetBy(requests: number, pairs: number): number {
  return pairs === 1 ? Math.min(1, requests) : -pairs * Math.expm1(requests * Math.log1p(-1 / pairs));
}
