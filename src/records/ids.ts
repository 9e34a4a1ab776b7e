import { BOOLEAN, check, NUMBER, optional, STRING, type Types } from '../input/checks.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';

declare const brand: unique symbol;

/** The name of a partition, such as a tenant or a user, that {@link KeyNaming.parsePartition} has checked. */
export type PartitionId = string & { readonly [brand]: 'PartitionId' };

/** The ID of a System Key or an Intermediate Key, as the metastore stores it. */
export type KeyId = string & { readonly [brand]: 'KeyId' };

/** Whole seconds since 1970-01-01T00:00Z. */
export type EpochSeconds = number & { readonly [brand]: 'EpochSeconds' };

/**
 * Checks the ID of a key, for authors of a metastore. The ID must be non-empty, well-formed Unicode of at most 2,048
 * bytes of UTF-8.
 * @throws TypeError if the ID is not a string
 * @throws KeyfoldError `InvalidRequest` if the string breaks one of these rules
 * @example
 * const id = parseKeyId(row.id);
 */
export function parseKeyId(id: string): KeyId {
  check(id, 'id', STRING);
  if (isPossibleKeyId(id)) return id as KeyId;
  throw impossibleKeyId();
}

/** The error for the ID of a key that no row can have. */
export function impossibleKeyId(): KeyfoldError {
  return new KeyfoldError('InvalidRequest', `A key ID must have 1 to ${MAX_KEY_ID_BYTES} bytes of well-formed UTF-8.`);
}

/**
 * Checks a creation time, for authors of a metastore.
 * @throws TypeError if the value is not a number
 * @throws KeyfoldError `InvalidRequest` if the number is not whole, or if JavaScript cannot represent it exactly
 * @example
 * const created = parseEpochSeconds(Number(row.created));
 */
export function parseEpochSeconds(seconds: number): EpochSeconds {
  check(seconds, 'seconds', NUMBER);
  if (Number.isSafeInteger(seconds)) return seconds as EpochSeconds;
  throw new KeyfoldError('InvalidRequest', 'A creation time must be a whole number of seconds since 1970.');
}

/** The whole seconds of a time in milliseconds. @throws TypeError if the number is not a time */
export function secondsOf(nowMs: number): EpochSeconds {
  const seconds = Math.floor(nowMs / 1000);
  if (Number.isSafeInteger(seconds)) return seconds as EpochSeconds;
  throw new TypeError('The clock does not give milliseconds since 1970.');
}

/**
 * The creation time of a tombstone: the last second of the year 9999. A tombstone is the row that an erased partition
 * keeps. No key has a later date, so the tombstone is always the latest row of its ID.
 */
export const TOMBSTONE_CREATED = 253_402_300_799 as EpochSeconds;

/** Names one key: its ID and its creation time. Rotation makes new keys with the same ID. */
export interface KeyMeta {
  readonly id: KeyId;
  readonly created: EpochSeconds;
}

/** Copies only the ID and the creation time of a key. */
export function metaOf({ id, created }: KeyMeta): KeyMeta {
  return { id, created };
}

/** A string that names one key, for use as the key of a Map. */
export function keyName({ id, created }: KeyMeta): string {
  return `${created} ${id}`;
}

/**
 * The names from which Keyfold builds key IDs, as Asherah does. Services that share a table must differ in at least one
 * of them.
 */
export interface ServiceNames {
  readonly service: string;
  readonly product: string;
  /** For a Global Table: the AWS region that this process writes in. Leave it undefined for a table in one region. */
  readonly regionSuffix?: string | undefined;
  /**
   * Allows names that make key IDs ambiguous: an underscore in the service or product, or a product that looks like a
   * region. Use it only for an existing Asherah table with such names. A service can then open the records of another
   * service whose key IDs look the same.
   */
  readonly allowAmbiguousNames?: boolean | undefined;
}

/** The types of the {@link ServiceNames}. */
export const SERVICE_NAMES: Types<ServiceNames> = {
  service: STRING,
  product: STRING,
  regionSuffix: optional(STRING),
  allowAmbiguousNames: optional(BOOLEAN),
};

/** DynamoDB's size limit for a partition key, in bytes of UTF-8. */
const MAX_KEY_ID_BYTES = 2048;
/** The form of a region name. The limits allow longer names than AWS has today. */
const REGION = /^[a-z]{2,4}(?:-[a-z]{1,20}){1,2}-\d{1,2}$/;
/** The longest partition over HTTP, in bytes. Its key ID must fit into a row. */
const MAX_HTTP_PARTITION_BYTES = 128;
const CONTROL = /\p{Cc}/u;

/**
 * Whether a string can be a partition. It must be non-empty, well-formed Unicode, and no longer than a key ID may be.
 * {@link KeyNaming.parsePartition} also checks the length of the partition's key ID.
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

/** Whether DynamoDB accepts this key ID. DynamoDB refuses an invalid ID even in a read. */
export function isPossibleKeyId(id: string): boolean {
  return id !== '' && id.isWellFormed() && Buffer.byteLength(id) <= MAX_KEY_ID_BYTES;
}

/** Whether a name has the form of an AWS region, such as `us-east-1`, `us-gov-west-1` or `us-iso-east-1`. */
export function isRegionName(name: string): boolean {
  return REGION.test(name);
}

/**
 * The ID of the rows that list the erasures of a service. It names no key, so neither requests nor Asherah read these
 * rows.
 */
export function registerIdOf({ service, product, regionSuffix }: ServiceNames): KeyId {
  return `_EP_${service}_${product}${regionSuffix === undefined ? '' : `_${regionSuffix}`}` as KeyId;
}

/** Whether a key ID names a System Key or an Intermediate Key. Undefined if it names neither. */
export function keyKindOf(id: string): 'system' | 'intermediate' | undefined {
  if (id.startsWith('_SK_')) return 'system';
  return id.startsWith('_IK_') ? 'intermediate' : undefined;
}

/**
 * The region suffix of a key ID. Only processes in that region write the row and seal with the key. Undefined if the ID
 * has no suffix. An ID that ends with the product name in `names` has none, even if that name looks like a region.
 */
export function regionOfKeyId(id: string, names?: ServiceNames): string | undefined {
  if (names !== undefined && id.endsWith(`_${names.service}_${names.product}`)) return undefined;
  const parts = id.split('_').slice(1);
  const last = parts.at(-1) ?? '';
  // At least three parts come before the region of a System Key: `SK`, a service and a product. An Intermediate Key has
  // at least four: `IK`, a partition, a service and a product.
  return parts.length >= (keyKindOf(id) === 'system' ? 4 : 5) && isRegionName(last) ? last : undefined;
}

/** Makes the key IDs of one service, and decides which key IDs a record may name. */
export class KeyNaming {
  readonly systemKeyId: KeyId;
  /** Whether key IDs have a region suffix. If they do, rows from another region may arrive late. */
  readonly suffixed: boolean;
  readonly #base: string;
  readonly #suffix: string;

  /** @throws KeyfoldError `InvalidConfiguration`, listing each name that would make IDs ambiguous. */
  constructor(names: ServiceNames) {
    const faults = nameFaults(names);
    if (faults.length > 0) throw invalidConfiguration(faults);
    this.#base = `_${names.service}_${names.product}`;
    this.suffixed = names.regionSuffix !== undefined;
    this.#suffix = this.suffixed ? `_${names.regionSuffix}` : '';
    this.systemKeyId = `_SK${this.#base}${this.#suffix}` as KeyId;
  }

  /**
   * Checks a partition from a caller. As in Asherah, any well-formed Unicode is allowed if its Intermediate Key ID fits
   * DynamoDB. Partitions are compared byte for byte and never normalised.
   * @throws TypeError if the partition is not a string
   * @throws KeyfoldError `InvalidRequest` if it is empty, not well-formed Unicode, or too long for DynamoDB
   */
  parsePartition(value: string): PartitionId {
    check(value, 'partition', STRING);
    const fault = partitionFault(value, this.intermediateKeyId(value as PartitionId));
    if (fault !== undefined) throw new KeyfoldError('InvalidRequest', `The partition ${fault}.`);
    return value as PartitionId;
  }

  /** The ID of the Intermediate Keys that this process makes for a partition. */
  intermediateKeyId(partition: PartitionId): KeyId {
    return `_IK_${partition}${this.#base}${this.#suffix}` as KeyId;
  }

  /**
   * Whether `id` names an Intermediate Key of the partition. If the configuration has a region suffix, the ID may end
   * with any region or with none. Otherwise the whole ID must be equal, and not only its beginning: the IDs of the
   * partition `a_s_p_b` also begin with `_IK_a_s_p`.
   */
  isIntermediateKeyOf(partition: PartitionId, id: string): id is KeyId {
    if (id === this.intermediateKeyId(partition)) return true;
    return this.suffixed && isPossibleKeyId(id) && isRegionalFormOf(`_IK_${partition}${this.#base}`, id);
  }

  /**
   * Whether `id` names a System Key of this service, with any region suffix or none. If an Intermediate Key names the
   * System Key of another service, an attacker has written the Intermediate Key's row.
   */
  isSystemKey(id: string): id is KeyId {
    return isRegionalFormOf(`_SK${this.#base}`, id);
  }

  /** Whether `id` names an Intermediate Key of this service, for any partition and with any region suffix or none. */
  isIntermediateKey(id: string): id is KeyId {
    return this.partitionOf(id) !== undefined;
  }

  /**
   * The partition that an Intermediate Key's ID names, with any region suffix or none. Undefined if the ID does not
   * belong to this service.
   */
  partitionOf(id: string): PartitionId | undefined {
    const regionAt = id.lastIndexOf('_');
    const unsuffixed = !id.endsWith(this.#base) && REGION.test(id.slice(regionAt + 1)) ? id.slice(0, regionAt) : id;
    const isOurs = id.startsWith('_IK_') && unsuffixed.endsWith(this.#base);
    const partition = unsuffixed.slice('_IK_'.length, -this.#base.length);
    return isOurs && isPartition(partition) ? partition : undefined;
  }
}

function isRegionalFormOf(unsuffixed: string, id: string): boolean {
  if (!id.startsWith(unsuffixed)) return false;
  return (
    id.length === unsuffixed.length || (id[unsuffixed.length] === '_' && REGION.test(id.slice(unsuffixed.length + 1)))
  );
}

const AMBIGUOUS = ', which makes key ids ambiguous; allow it only for an existing table';

/** Lists what is wrong with a service's names. Empty if they are valid. */
export function nameFaults(names: ServiceNames): string[] {
  const faults: string[] = [];
  for (const part of ['service', 'product'] as const) {
    const name = names[part];
    if (name === '' || !name.isWellFormed() || CONTROL.test(name)) {
      faults.push(`the ${part} must be text of one or more characters, none of them a control character`);
    } else if (!names.allowAmbiguousNames && name.includes('_')) {
      faults.push(`the ${part} holds an underscore${AMBIGUOUS}`);
    }
  }
  const longest = `_IK_${'p'.repeat(MAX_HTTP_PARTITION_BYTES)}_${names.service}_${names.product}_${names.regionSuffix ?? ''}`;
  if (Buffer.byteLength(longest) > MAX_KEY_ID_BYTES) {
    faults.push(`the service and the product are too long: key ids would not fit DynamoDB's ${MAX_KEY_ID_BYTES} bytes`);
  }
  if (!names.allowAmbiguousNames && isRegionName(names.product)) {
    faults.push(`the product is shaped like a region${AMBIGUOUS}`);
  }
  if (names.regionSuffix !== undefined && !isRegionName(names.regionSuffix)) {
    faults.push('the region suffix is not the name of an AWS region');
  }
  return faults;
}
