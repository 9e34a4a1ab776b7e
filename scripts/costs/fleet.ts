/** What a fleet is assumed to be; each is explained in prices.json. */
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
  /** Warm at once. */
  readonly processes: number;
  readonly coldStarts: number;
  /** System Keys that were unwrapped, made and looked after. */
  readonly kmsCalls: number;
  /** Of those the unwraps by processes that serve requests. */
  readonly unwraps: number;
  /** Intermediate Keys read, each by a request that waits for it. */
  readonly partitionReads: number;
  readonly systemKeyReads: number;
  /** New Intermediate Keys; each is written once, and by the table to each replica. */
  readonly keysMade: number;
}

/** How many processes serve so many requests a second, as Lambda runs one request at a time in each. */
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
  // Each day the maintenance has every region open each key, and, behind an alias, wrap it once to learn which key that
  // is now.
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

/** How many of so many pairs some requests meet, each one of them at random. */
export function pairsMetBy(requests: number, pairs: number): number {
  return pairs === 1 ? Math.min(1, requests) : -pairs * Math.expm1(requests * Math.log1p(-1 / pairs));
}
