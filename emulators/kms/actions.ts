import { CRYPTO_ACTIONS } from './crypto-actions.ts';
import { KEY_ACTIONS, type Action } from './key-actions.ts';

/** The KMS actions that the emulator supports, keyed by name. */
export const KMS_ACTIONS: Readonly<Record<string, Action>> = { ...KEY_ACTIONS, ...CRYPTO_ACTIONS };
