import assert from 'node:assert/strict';
import { randomKeyBytes } from '../crypto/random.ts';
import type { KeyManagementService } from '../envelope/ports.ts';
import type { WrapRenewer, WrapReport } from '../maintenance/system-key-maintenance.ts';
import {
  abortCase,
  caseWith,
  checkedOptions,
  hangCases,
  type Call,
  type ContractCase,
  type Opener,
} from './contract-case.ts';
import { noDeadline } from '../async/deadline.ts';
import { KMS_OPTIONS, type KmsContractOptions } from './kms-contract.ts';
import { flipped, FOREIGN, mustBeReason, mustNotShow, mustUnwrapTo, wrap } from './kms-calls.ts';

type Renewer = KeyManagementService & WrapRenewer;

/** The cases renew only one in this many changed wraps, because each renewal may take several calls. */
const EVERY = 8;

/**
 * The contract of a KMS that `SystemKeyMaintenance` can use, as test cases for any test framework. Such a KMS also
 * passes `kmsContract`.
 * @param open makes the plug-in. The cases treat each plug-in as a separate process, so all plug-ins must share their
 * keys.
 * @example
 * import { it } from 'vitest';
 * import { wrapRenewerContract } from 'keyfold/testing';
 *
 * for (const { name, run } of wrapRenewerContract(() => new MyKms(options))) it(name, run);
 * @throws TypeError for an argument of the wrong type or an unknown option
 */
export function wrapRenewerContract(open: Opener<Renewer>, options: KmsContractOptions<Renewer> = {}): ContractCase[] {
  const { openFailing, openHanging, openRefused, rotate } = checkedOptions(open, options, KMS_OPTIONS);
  const calls = async (): Promise<Call<Renewer>[]> => {
    const { wrapped } = await wrap(await open(), randomKeyBytes());
    return [['renew', (kms, deadline) => kms.renew(wrapped, deadline)]];
  };
  const mustReportFaults = async (openRefusing: Opener<Renewer>): Promise<void> => {
    const key = randomKeyBytes();
    const { wrapped } = await wrap(await open(), key);
    const report = await renew(await openRefusing(), wrapped);
    mustBeReport(report);
    mustNotShow(report, [key, wrapped]);
    assert.equal(report.renewed, undefined, 'a service that opens nothing must not replace a wrap');
    for (const { opens, fault } of report.regions) {
      assert.equal(opens, false, 'a region that does not answer does not open the key');
      assert.ok(fault !== undefined && fault !== '', 'fault must say why the key does not open');
    }
  };
  return [
    {
      name: 'reports that it opens a wrap, and renews it to one that opens to the same key',
      run: () => mustRenew(open, () => {}),
    },
    ...caseWith(rotate, 'renews a wrap of an earlier version of its key', (change) => mustRenew(open, change)),
    {
      name: 'reports why bytes are not a wrap, and makes no wrap of them',
      run: async () => {
        const kms = await open();
        for (const bytes of FOREIGN) {
          const { regions, renewed, unreadable } = await renew(kms, bytes);
          assert.deepEqual({ regions, renewed }, { regions: [], renewed: undefined });
          mustBeReason(unreadable);
        }
      },
    },
    {
      name: 'never renews changed bytes to a wrap of another key',
      run: async () => {
        const kms = await open();
        const key = randomKeyBytes();
        const { wrapped, rowProof } = await wrap(kms, key);
        for (const changed of flipped(wrapped).filter((_, i) => i % EVERY === 0)) {
          const { renewed } = await renew(kms, changed);
          if (renewed !== undefined) await mustUnwrapTo(kms, renewed, key, rowProof);
        }
      },
    },
    abortCase(open, calls),
    ...caseWith(openFailing, 'reports a fault, and makes no wrap, if its service does not answer', mustReportFaults),
    ...caseWith(openRefused, 'reports a fault, and makes no wrap, if its service refuses it', mustReportFaults),
    ...hangCases(openHanging, calls),
  ];
}

/**
 * Checks that a wrap from before a change is renewed after the change, that the new wrap opens, and that it is up to
 * date.
 */
async function mustRenew(open: Opener<Renewer>, change: () => void | Promise<void>): Promise<void> {
  const key = randomKeyBytes();
  const { wrapped, rowProof } = await wrap(await open(), key);
  const given = Buffer.from(wrapped);
  await change();
  const kms = await open();
  const first = await renew(kms, given);
  assert.deepEqual(given, Buffer.from(wrapped), 'renew must not change the wrap that it gets');
  mustOpenEverywhere(first);
  mustNotShow(first.regions, [key]);
  const renewed = first.renewed ?? wrapped;
  for (const one of [kms, await open()]) await mustUnwrapTo(one, renewed, key, rowProof);
  const second = await renew(kms, renewed);
  mustOpenEverywhere(second);
  assert.equal(second.renewed, undefined, 'a wrap that was just renewed must be up to date');
}

function renew(kms: Renewer, wrapped: Uint8Array): Promise<WrapReport> {
  return kms.renew(wrapped, noDeadline());
}

function mustBeReport({ regions, renewed, unreadable }: WrapReport): void {
  assert.equal(unreadable, undefined, 'unreadable must be absent for a wrap of this service');
  const names = regions.map(({ region }) => region);
  assert.ok(names.length > 0 && !names.includes(''), 'the report must name each region');
  assert.equal(new Set(names).size, names.length, 'the report must have one entry for each region');
  const isRenewed = regions.some((region) => region.renewed);
  assert.equal(isRenewed, renewed !== undefined, 'renewed must be true for the regions that made a new wrap');
}

function mustOpenEverywhere(report: WrapReport): void {
  mustBeReport(report);
  for (const { region, opens } of report.regions) assert.ok(opens, `the region ${region} must open the key`);
}
