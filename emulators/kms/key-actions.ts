import { KmsApiError, validation } from './api-error.ts';
import type { Input } from './input.ts';
import { aliasArn, keyArn, type EmulatedAlias, type EmulatedKey, type KeyStore, type Place } from './key-store.ts';

/** An emulated KMS action. */
export interface Action {
  /** The request members that the emulator supports. It refuses requests with any other member. */
  readonly members: readonly string[];
  /** Performs the action and returns the JSON of the response. */
  readonly perform: (store: KeyStore, place: Place, input: Input) => object;
}

const ALIAS = /^alias\/(?!aws\/)[A-Za-z0-9/_-]{1,250}$/;
const DAY_SECONDS = 86_400;
/** The only supported value of each CreateKey option. */
const EMULATED = {
  KeySpec: 'SYMMETRIC_DEFAULT',
  CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
  KeyUsage: 'ENCRYPT_DECRYPT',
  Origin: 'AWS_KMS',
  MultiRegion: false,
};
const MAX_DESCRIPTION_LENGTH = 8192;
/** The period that EnableKeyRotation sets if the request has none, even if the key had another period before. */
const DEFAULT_ROTATION_DAYS = 365;
/** KMS's limit on the on-demand rotations of one key. */
const MAX_ROTATIONS = 25;

/** The KMS actions that manage keys and aliases. They change only the store in memory, which the caller then saves. */
export const KEY_ACTIONS: Readonly<Record<string, Action>> = {
  CreateKey: {
    members: ['Description', ...Object.keys(EMULATED)],
    perform: (store, place, input) => {
      if (input.optional('KeySpec') !== undefined && input.optional('CustomerMasterKeySpec') !== undefined)
        throw validation('You cannot specify KeySpec and CustomerMasterKeySpec in the same request');
      for (const [option, emulated] of Object.entries(EMULATED)) {
        const value = typeof emulated === 'string' ? input.optionalText(option) : input.optionalBoolean(option);
        if ((value ?? emulated) === emulated) continue;
        throw new KmsApiError('UnsupportedOperationException', `Only ${option} ${emulated} is emulated`);
      }
      const description = input.optionalText('Description') ?? '';
      if (description.length > MAX_DESCRIPTION_LENGTH)
        throw validation(`Value at 'Description' must have length from 0 to ${MAX_DESCRIPTION_LENGTH}`);
      return { KeyMetadata: describe(store.createKey(place, description)) };
    },
  },
  DescribeKey: {
    members: ['KeyId'],
    perform: (store, place, input) => ({ KeyMetadata: describe(store.find(place, input.keyId())) }),
  },
  EnableKey: {
    members: ['KeyId'],
    perform: (store, place, input) => {
      notPendingDeletion(store.findOwn(place, input.keyId())).state = 'Enabled';
      return {};
    },
  },
  DisableKey: {
    members: ['KeyId'],
    perform: (store, place, input) => {
      notPendingDeletion(store.findOwn(place, input.keyId())).state = 'Disabled';
      return {};
    },
  },
  ScheduleKeyDeletion: {
    members: ['KeyId', 'PendingWindowInDays'],
    perform: (store, place, input) => {
      const days = input.number('PendingWindowInDays', 7, 30) ?? 30;
      const key = notPendingDeletion(store.findOwn(place, input.keyId()));
      key.state = 'PendingDeletion';
      key.deletionSeconds = Math.floor(Date.now() / 1000) + days * DAY_SECONDS;
      return {
        KeyId: keyArn(key),
        DeletionDate: key.deletionSeconds,
        KeyState: key.state,
        PendingWindowInDays: days,
      };
    },
  },
  CancelKeyDeletion: {
    members: ['KeyId'],
    perform: (store, place, input) => {
      const key = store.findOwn(place, input.keyId());
      if (key.state !== 'PendingDeletion') throw invalidState(key);
      key.state = 'Disabled';
      key.deletionSeconds = undefined;
      return { KeyId: keyArn(key) };
    },
  },
  EnableKeyRotation: {
    members: ['KeyId', 'RotationPeriodInDays'],
    perform: (store, place, input) => {
      const days = input.number('RotationPeriodInDays', 90, 2560) ?? DEFAULT_ROTATION_DAYS;
      usable(store.findOwn(place, input.keyId())).rotationDays = days;
      return {};
    },
  },
  DisableKeyRotation: {
    members: ['KeyId'],
    perform: (store, place, input) => {
      usable(store.findOwn(place, input.keyId())).rotationDays = undefined;
      return {};
    },
  },
  GetKeyRotationStatus: {
    members: ['KeyId'],
    perform: (store, place, input) => {
      const { keyId, rotationDays, state } = store.findById(place, input.keyId());
      const KeyRotationEnabled = rotationDays !== undefined && state !== 'PendingDeletion';
      return { KeyId: keyId, KeyRotationEnabled, ...(KeyRotationEnabled && { RotationPeriodInDays: rotationDays }) };
    },
  },
  RotateKeyOnDemand: {
    members: ['KeyId'],
    perform: (store, place, input) => {
      const key = usable(store.findOwn(place, input.keyId()));
      if (key.backingKeys.length > MAX_ROTATIONS)
        throw new KmsApiError('LimitExceededException', `A key is rotated on demand at most ${MAX_ROTATIONS} times`);
      store.rotate(key);
      return { KeyId: key.keyId };
    },
  },
  CreateAlias: {
    members: ['AliasName', 'TargetKeyId'],
    perform: (store, place, input) => {
      const name = aliasName(input);
      const key = notPendingDeletion(aliasTarget(store, place, input));
      if (store.alias(place, name) !== undefined) {
        throw new KmsApiError('AlreadyExistsException', `An alias with the name ${name} already exists`);
      }
      store.setAlias(place, name, key.keyId);
      return {};
    },
  },
  UpdateAlias: {
    members: ['AliasName', 'TargetKeyId'],
    perform: (store, place, input) => {
      const alias = existingAlias(store, place, input);
      store.setAlias(place, alias.name, notPendingDeletion(aliasTarget(store, place, input)).keyId);
      return {};
    },
  },
  DeleteAlias: {
    members: ['AliasName'],
    perform: (store, place, input) => {
      store.deleteAlias(existingAlias(store, place, input));
      return {};
    },
  },
  ListAliases: {
    members: ['KeyId', 'Limit', 'Marker'],
    perform: (store, place, input) => {
      const keyId = input.optionalKeyId();
      const wanted = keyId === undefined ? undefined : store.findOwn(place, keyId).keyId;
      const marker = input.optionalText('Marker') ?? '';
      if (marker !== '' && !ALIAS.test(marker))
        throw new KmsApiError('InvalidMarkerException', 'The marker is not the NextMarker of an earlier answer.');
      const all = store.aliasesOf(place).filter((a) => a.name > marker && (wanted === undefined || a.keyId === wanted));
      const page = all.slice(0, input.number('Limit', 1, 100) ?? 50);
      const Truncated = page.length < all.length;
      const Aliases = page.map((a) => ({ AliasName: a.name, AliasArn: aliasArn(a), TargetKeyId: a.keyId }));
      return { Aliases, Truncated, ...(Truncated && { NextMarker: page.at(-1)?.name }) };
    },
  },
};

/**
 * Returns the key if its state allows encryption and decryption.
 * @throws KmsApiError `DisabledException` or `KMSInvalidStateException`, as KMS does
 */
export function usable(key: EmulatedKey): EmulatedKey {
  if (key.state === 'Disabled') throw new KmsApiError('DisabledException', `${keyArn(key)} is disabled.`);
  return notPendingDeletion(key);
}

function notPendingDeletion(key: EmulatedKey): EmulatedKey {
  if (key.state === 'PendingDeletion') throw invalidState(key);
  return key;
}

function invalidState(key: EmulatedKey): KmsApiError {
  return new KmsApiError('KMSInvalidStateException', `${keyArn(key)} is ${key.state}.`);
}

function aliasName(input: Input): string {
  const name = input.text('AliasName');
  if (ALIAS.test(name)) return name;
  if (name.startsWith('alias/aws/')) throw new KmsApiError('NotAuthorizedException', 'alias/aws/ is reserved');
  throw validation("Value at 'AliasName' must be alias/ and up to 250 of A-Z a-z 0-9 / _ -");
}

function aliasTarget(store: KeyStore, place: Place, input: Input): EmulatedKey {
  const target = input.keyId('TargetKeyId');
  if (/^(?:arn:.*:)?alias\//.test(target)) throw validation('Aliases must refer to keys. Not aliases');
  return store.findOwn(place, target);
}

function existingAlias(store: KeyStore, place: Place, input: Input): EmulatedAlias {
  const name = aliasName(input);
  const alias = store.alias(place, name);
  if (alias === undefined) throw new KmsApiError('NotFoundException', `Alias ${name} is not found.`);
  return alias;
}

function describe(key: EmulatedKey): object {
  return {
    AWSAccountId: key.account,
    KeyId: key.keyId,
    Arn: keyArn(key),
    CreationDate: key.createdSeconds,
    Enabled: key.state === 'Enabled',
    Description: key.description,
    KeyUsage: 'ENCRYPT_DECRYPT',
    KeyState: key.state,
    ...(key.deletionSeconds === undefined ? {} : { DeletionDate: key.deletionSeconds }),
    Origin: 'AWS_KMS',
    KeyManager: 'CUSTOMER',
    CustomerMasterKeySpec: 'SYMMETRIC_DEFAULT',
    KeySpec: 'SYMMETRIC_DEFAULT',
    EncryptionAlgorithms: ['SYMMETRIC_DEFAULT'],
    MultiRegion: false,
  };
}
