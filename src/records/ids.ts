import { BOOLEAN, check, optional, STRING, type Types } from '../input/checks.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';

declare const brand: unique symbol;

/** A partition (a tenant, a user) that {@link KeyNaming.parsePartition} has checked. */
export type PartitionId = string & { readonly [brand]: 'PartitionId' };

/** The id of a System Key or an Intermediate Key, as kept in the metastore. */
export type KeyId = string & { readonly [brand]: 'KeyId' };

/** Seconds since 1970-01-01T00:00Z; a whole number. */
export type EpochSeconds = number & { readonly [brand]: 'EpochSeconds' };

/** A time in whole seconds since 1970, as records and rows have it. @throws TypeError for what is no time */
export function secondsOf(nowMs: number): EpochSeconds {
  const seconds = Math.floor(nowMs / 1000);
  if (Number.isSafeInteger(seconds)) return seconds as EpochSeconds;
  throw new TypeError('The clock does not give milliseconds since 1970.');
}

/** What names one key: its id and when it was created. Many keys of one id follow each other as they are rotated. */
export interface KeyMeta {
  readonly id: KeyId;
  readonly created: EpochSeconds;
}

/** Only what names a key, of whatever else is known of it. */
export function metaOf({ id, created }: KeyMeta): KeyMeta {
  return { id, created };
}

/** A name for one key that no other key has, to be a key of a Map. */
export function keyName({ id, created }: KeyMeta): string {
  return `${created} ${id}`;
}

/** Whose keys they are. Asherah's ids are made of these, so two services that share a table must differ in one of them. */
export interface ServiceNames {
  readonly service: string;
  readonly product: string;
  /** The AWS region that this process writes in, for a table replicated over regions; undefined for a table of one. */
  readonly regionSuffix?: string | undefined;
  /**
   * Allows names that make ids ambiguous (an underscore in the service or product, a product shaped like a region), for an
   * existing Asherah table that has them. One service may then open records of another whose id reads the same.
   */
  readonly allowAmbiguousNames?: boolean | undefined;
}

/** What {@link ServiceNames} are made of. */
export const SERVICE_NAMES: Types<ServiceNames> = {
  service: STRING,
  product: STRING,
  regionSuffix: optional(STRING),
  allowAmbiguousNames: optional(BOOLEAN),
};

/** DynamoDB's limit for the value of a partition key, in bytes of UTF-8. */
const MAX_KEY_ID_BYTES = 2048;
/** No region's name is much longer than these. */
const REGION = /^[a-z]{2,4}(?:-[a-z]{1,20}){1,2}-\d{1,2}$/;
/** The longest partition that HTTP can name must have an id. */
const MAX_HTTP_PARTITION_BYTES = 128;
const CONTROL = /\p{Cc}/u;

/**
 * Whether a text can be a partition: it is not empty, well-formed Unicode, and no longer than a key's id may be.
 * {@link KeyNaming.parsePartition} checks the length of the id that the partition's keys have.
 */
export function isPartition(value: string): value is PartitionId {
  return partitionFault(value, value) === undefined;
}

function partitionFault(value: string, keyId: string): string | undefined {
  if (value === '') return 'is empty';
  if (!value.isWellFormed()) return 'is not well-formed Unicode';
  if (Buffer.byteLength(keyId) <= MAX_KEY_ID_BYTES) return undefined;
  return `is too long: its key id would have more than DynamoDB's ${MAX_KEY_ID_BYTES} bytes of UTF-8`;
}

/** Whether DynamoDB can hold a row of such an id. It refuses to look for any other. */
export function isPossibleKeyId(id: string): boolean {
  return id !== '' && id.isWellFormed() && Buffer.byteLength(id) <= MAX_KEY_ID_BYTES;
}

/** Whether a name is shaped like an AWS region's (`us-east-1`, `us-gov-west-1`, `us-iso-east-1`). */
export function isRegionName(name: string): boolean {
  return REGION.test(name);
}

/** Which level of the hierarchy an id names a key of; undefined for an id that is none of ours. */
export function keyKindOf(id: string): 'system' | 'intermediate' | undefined {
  if (id.startsWith('_SK_')) return 'system';
  return id.startsWith('_IK_') ? 'intermediate' : undefined;
}

/**
 * The region that a key's id ends with: where its row is written, and the only one whose processes seal under it. Undefined
 * for an id without, and for one that a product shaped like a region ends, as far as `names` tell.
 */
export function regionOfKeyId(id: string, names?: ServiceNames): string | undefined {
  if (names !== undefined && id.endsWith(`_${names.service}_${names.product}`)) return undefined;
  const parts = id.split('_').slice(1);
  const last = parts.at(-1) ?? '';
  // A System Key's id has a service and a product before the region, an Intermediate Key's a partition as well.
  return parts.length >= (keyKindOf(id) === 'system' ? 4 : 5) && isRegionName(last) ? last : undefined;
}

/** Makes the ids of one service's keys, and tells which ids a record may name. */
export class KeyNaming {
  readonly systemKeyId: KeyId;
  /** Whether keys carry a region suffix, so that a key written elsewhere may take a while to arrive here. */
  readonly suffixed: boolean;
  readonly #base: string;
  readonly #suffix: string;

  /** @throws KeyfoldError `InvalidConfiguration`, naming each name that would make ids ambiguous. */
  constructor(names: ServiceNames) {
    const faults = nameFaults(names);
    if (faults.length > 0) throw invalidConfiguration(faults);
    this.#base = `_${names.service}_${names.product}`;
    this.suffixed = names.regionSuffix !== undefined;
    this.#suffix = this.suffixed ? `_${names.regionSuffix}` : '';
    this.systemKeyId = `_SK${this.#base}${this.#suffix}` as KeyId;
  }

  /**
   * Checks a partition from outside: any text of well-formed Unicode whose Intermediate Key id fits DynamoDB, as in Asherah.
   * Partitions are compared byte for byte and never normalised.
   * @throws TypeError for anything but a string
   * @throws KeyfoldError `InvalidRequest` for one that is empty, not well-formed Unicode, or too long for DynamoDB
   */
  parsePartition(value: string): PartitionId {
    check(value, 'partition', STRING);
    const fault = partitionFault(value, this.intermediateKeyId(value as PartitionId));
    if (fault !== undefined) throw new KeyfoldError('InvalidRequest', `The partition ${fault}.`);
    return value as PartitionId;
  }

  /** The id under which this process writes a partition's Intermediate Keys. */
  intermediateKeyId(partition: PartitionId): KeyId {
    return `_IK_${partition}${this.#base}${this.#suffix}` as KeyId;
  }

  /**
   * Whether `id` names an Intermediate Key of the partition: its own id exactly, or, where a suffix is configured, that of
   * any region or none. A mere prefix is never enough: `_IK_a_s_p` also begins the ids of partition `a_s_p_b`.
   */
  isIntermediateKeyOf(partition: PartitionId, id: string): id is KeyId {
    if (id === this.intermediateKeyId(partition)) return true;
    return this.suffixed && isPossibleKeyId(id) && isRegionalFormOf(`_IK_${partition}${this.#base}`, id);
  }

  /**
   * Whether `id` names a System Key of this service, of any region or none. An Intermediate Key that hangs under another
   * service's System Key was put there by somebody who can write the table.
   */
  isSystemKey(id: string): id is KeyId {
    return id === this.systemKeyId || (isPossibleKeyId(id) && isRegionalFormOf(`_SK${this.#base}`, id));
  }
}

function isRegionalFormOf(unsuffixed: string, id: string): boolean {
  if (!id.startsWith(unsuffixed)) return false;
  return (
    id.length === unsuffixed.length || (id[unsuffixed.length] === '_' && REGION.test(id.slice(unsuffixed.length + 1)))
  );
}

/** What is wrong with a service's names; empty where nothing is. */
export function nameFaults(names: ServiceNames): string[] {
  const faults: string[] = [];
  for (const part of ['service', 'product'] as const) {
    const name = names[part];
    if (name === '' || !name.isWellFormed() || CONTROL.test(name)) {
      faults.push(`the ${part} must be text of one or more characters, none of them a control character`);
    } else if (!names.allowAmbiguousNames && name.includes('_')) {
      faults.push(
        `the ${part} holds an underscore, which makes key ids ambiguous; allow it only for an existing table`,
      );
    }
  }
  const longest = `_IK_${'p'.repeat(MAX_HTTP_PARTITION_BYTES)}_${names.service}_${names.product}_${names.regionSuffix ?? ''}`;
  if (Buffer.byteLength(longest) > MAX_KEY_ID_BYTES) {
    faults.push(`the service and the product are too long: key ids would not fit DynamoDB's ${MAX_KEY_ID_BYTES} bytes`);
  }
  if (!names.allowAmbiguousNames && isRegionName(names.product)) {
    faults.push(
      'the product is shaped like a region, which makes key ids ambiguous; allow it only for an existing table',
    );
  }
  if (names.regionSuffix !== undefined && !isRegionName(names.regionSuffix)) {
    faults.push('the region suffix is not the name of an AWS region');
  }
  return faults;
}
