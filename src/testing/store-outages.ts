import { FUNCTION, optional, type Types } from '../input/checks.ts';
import {
  abortCase,
  caseWith,
  CONTRACT_OPTIONS,
  hangCases,
  mustFailWith,
  type Call,
  type ContractCase,
  type ContractOptions,
  type Opener,
} from './contract-case.ts';
import { noDeadline } from '../async/deadline.ts';

/** Options of the contracts of a metastore. */
export interface StoreContractOptions<T> extends ContractOptions<T> {
  /**
   * Makes a plug-in whose store is missing, such as a table that does not exist. The function may also reject with
   * `MetastoreUnavailable` and make no plug-in. If the function is absent, the contract has no case about a missing
   * store.
   */
  readonly openMissing?: Opener<T>;
}

export const STORE_OPTIONS: Types<StoreContractOptions<unknown>> = {
  ...CONTRACT_OPTIONS,
  openMissing: optional(FUNCTION),
};

/** The cases that test these calls during outages and under deadlines. */
export function outageCases<T>(
  open: Opener<T>,
  { openFailing, openHanging, openMissing }: StoreContractOptions<T>,
  calls: readonly Call<T>[],
): ContractCase[] {
  const mustBeUnavailable = async (openFaulty: Opener<T>): Promise<void> => {
    // Open a new plug-in for each call. If a call has created the store, the next call succeeds, and the case fails.
    for (const [name, call] of calls) {
      const made = (async () => openFaulty())();
      const work = made.then((plugIn) => call(plugIn, noDeadline()) ?? ABSENT_METHOD);
      if ((await work.catch(() => undefined)) === ABSENT_METHOD) continue;
      await mustFailWith(work, name, ['MetastoreUnavailable']);
    }
  };
  return [
    abortCase(open, () => calls),
    ...caseWith(openFailing, 'rejects with MetastoreUnavailable if its store does not answer', mustBeUnavailable),
    ...caseWith(
      openMissing,
      'rejects with MetastoreUnavailable if its store is missing, and does not create it',
      mustBeUnavailable,
    ),
    ...hangCases(openHanging, () => calls),
  ];
}

const ABSENT_METHOD = Symbol('The plug-in does not have this method.');
