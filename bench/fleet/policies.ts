import type { KeyManagementService } from '../../src/envelope/ports.ts';
import { AwsKms } from '../../src/kms/aws-kms.ts';
import type { FailoverPolicy } from '../../src/kms/failover-policy.ts';
import type { RegionModel } from './region-model.ts';
import { asherahKms, sdkKms } from './peers.ts';
import type { VirtualClock } from './virtual-clock.ts';

/** The policies that are compared. Keyfold's is first. */
export const POLICIES = ['keyfold', 'asherah', 'sdk'] as const;
export type PolicyName = (typeof POLICIES)[number];

/** Creates one container's KMS from the region models, which are in order of preference. */
export type KmsMaker = (regions: readonly RegionModel[], clock: VirtualClock) => KeyManagementService;

/**
 * The timeouts under every policy. Asherah and the SDK have none by default, but different timeouts would distort the
 * comparison.
 */
const TIMEOUTS = { connectionTimeoutMs: 1000, requestTimeoutMs: 2000 };

/** Changes to the default settings of Keyfold's policy, as in `npm run fleet -- --policy '{"maxRounds":1}'`. */
export type OurChanges = Partial<FailoverPolicy>;

export async function kmsMaker(name: PolicyName, random: () => number, changes: OurChanges = {}): Promise<KmsMaker> {
  if (name === 'keyfold') return (regions, clock) => ourKms(regions, clock, random, changes);
  if (name === 'asherah') return (regions) => asherahKms(regions.map(connected));
  const make = await sdkKms();
  return (regions, clock) => make(regions.map(connected), clock);
}

/** Keyfold's KMS code as Lambda runs it, on simulated regions and the virtual clock. */
export function ourKms(
  regions: readonly RegionModel[],
  clock: VirtualClock,
  random: () => number,
  failover: OurChanges = {},
): AwsKms {
  const models = new Map(regions.map((model) => [model.region, model]));
  return new AwsKms(
    {
      keys: Object.fromEntries(regions.map(({ region }) => [region, arnOf(region)])),
      preferredRegion: regions[0]?.region ?? '',
      timeouts: TIMEOUTS,
      failover,
    },
    {
      now: clock.now,
      random,
      sleep: (ms, signal) => clock.sleep(ms, signal),
      connect: (options) => {
        const model = models.get(options.region);
        if (model === undefined) throw new Error(`no model of ${options.region}`);
        return model.connect(options);
      },
    },
  );
}

function arnOf(region: string): string {
  return `arn:aws:kms:${region}:111122223333:key/fleet`;
}

function connected(model: RegionModel): ReturnType<RegionModel['connect']> {
  const { region } = model;
  return model.connect({ region, keyArn: arnOf(region), accounts: new Set(), timeouts: TIMEOUTS, endpoint: undefined });
}
