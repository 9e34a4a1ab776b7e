import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { open, rename } from 'node:fs/promises';
import { KmsApiError } from './api-error.ts';

/** The region and account of a call. KMS keeps the keys and aliases of each region and account separate. */
export interface Place {
  readonly region: string;
  readonly account: string;
}

/** A KMS key with its backing keys. The last backing key is the current one. */
export interface EmulatedKey extends Place {
  readonly keyId: string;
  readonly description: string;
  readonly createdSeconds: number;
  /** Backing keys in base64. A rotation adds one. Earlier backing keys still open the ciphertexts that they sealed. */
  readonly backingKeys: string[];
  state: 'Enabled' | 'Disabled' | 'PendingDeletion';
  deletionSeconds?: number | undefined;
  /** The days between automatic rotations. Absent if KMS does not rotate the key automatically. */
  rotationDays?: number | undefined;
}

/** An alias of a key in the same region and account. */
export interface EmulatedAlias extends Place {
  readonly name: string;
  keyId: string;
}

interface Saved {
  readonly keys: EmulatedKey[];
  readonly aliases: EmulatedAlias[];
}

const ARN = /^arn:aws:kms:([a-z0-9-]+):(\d{12}):(key\/.+|alias\/.+)$/;

/** The ARN of a key. */
export function keyArn(key: EmulatedKey): string {
  return `arn:aws:kms:${key.region}:${key.account}:key/${key.keyId}`;
}

/** The ARN of an alias. */
export function aliasArn(alias: EmulatedAlias): string {
  return `arn:aws:kms:${alias.region}:${alias.account}:${alias.name}`;
}

/** The keys and aliases of all regions, in memory. They are also in `dataFile`, if a path is given. */
export class KeyStore {
  readonly #dataFile: string | undefined;
  readonly #keys = new Map<string, EmulatedKey>();
  readonly #aliases = new Map<string, EmulatedAlias>();
  #saving: Promise<void> = Promise.resolve();

  /** @throws Error that names the data file if it does not hold keys */
  constructor(dataFile?: string) {
    this.#dataFile = dataFile;
    if (dataFile === undefined || !existsSync(dataFile)) return;
    const text = readFileSync(dataFile, 'utf8');
    try {
      const saved = JSON.parse(text) as Saved;
      for (const key of saved.keys) this.#keys.set(keyArn(key), key);
      for (const alias of saved.aliases) this.#aliases.set(aliasArn(alias), alias);
    } catch (cause) {
      throw new Error(`${dataFile} is damaged: it does not hold the keys of the KMS emulator`, { cause });
    }
  }

  createKey(place: Place, description: string): EmulatedKey {
    const key: EmulatedKey = {
      ...place,
      keyId: randomUUID(),
      description,
      createdSeconds: Math.floor(Date.now() / 1000),
      backingKeys: [newBackingKey()],
      state: 'Enabled',
    };
    this.#keys.set(keyArn(key), key);
    return key;
  }

  /** Adds a backing key. The key encrypts under its newest backing key from then on. */
  rotate(key: EmulatedKey): void {
    key.backingKeys.push(newBackingKey());
  }

  /**
   * Finds a key by its ID, ARN, alias name or alias ARN.
   * @throws KmsApiError `NotFoundException` or `InvalidArnException`, as KMS does
   */
  find(place: Place, keyId: string): EmulatedKey {
    const { at, resource } = parseKeyId(place, keyId);
    const key = resource.startsWith('alias/') ? this.#keyOfAlias(at, resource) : this.#keyOfId(at, resource);
    if (key !== undefined && at.region === place.region) return key;
    throw new KmsApiError('NotFoundException', `Key '${keyId}' does not exist`);
  }

  /**
   * Finds a key by its ID or ARN.
   * @throws KmsApiError as KMS does, for example if `keyId` is an alias
   */
  findById(place: Place, keyId: string): EmulatedKey {
    const { resource } = parseKeyId(place, keyId);
    if (resource.startsWith('alias/')) {
      const type = keyId.startsWith('arn:') ? 'InvalidArnException' : 'NotFoundException';
      throw new KmsApiError(type, `Invalid keyId '${keyId}': this action takes a key id or key ARN, not an alias`);
    }
    return this.find(place, keyId);
  }

  /**
   * Finds a key that the caller may manage. The key must belong to the caller's account, and `keyId` must be its ID or
   * ARN.
   * @throws KmsApiError as KMS does
   */
  findOwn(place: Place, keyId: string): EmulatedKey {
    const key = this.findById(place, keyId);
    if (key.account === place.account) return key;
    throw new KmsApiError('AccessDeniedException', `${keyArn(key)} is not a key of this account`);
  }

  /** Finds a key by its ID in all accounts of a region. Undefined if the region has no such key. */
  findInRegion(region: string, keyId: string): EmulatedKey | undefined {
    return this.keysOf(region).find((key) => key.keyId === keyId);
  }

  /**
   * An alias. Undefined if it does not exist, or if its key is deleted, because KMS deletes a key together with its
   * aliases.
   */
  alias(place: Place, name: string): EmulatedAlias | undefined {
    const alias = this.#aliases.get(aliasArn({ ...place, name, keyId: '' }));
    return alias && this.#keyOfId(place, alias.keyId) && alias;
  }

  /** Points an alias to a key, and creates the alias if it does not exist. */
  setAlias(place: Place, name: string, keyId: string): void {
    const alias = { ...place, name, keyId };
    this.#aliases.set(aliasArn(alias), alias);
  }

  deleteAlias(alias: EmulatedAlias): void {
    this.#aliases.delete(aliasArn(alias));
  }

  aliasesOf(place: Place): EmulatedAlias[] {
    const own = [...this.#aliases.values()].filter(
      (a) => a.region === place.region && a.account === place.account && this.#keyOfId(place, a.keyId) !== undefined,
    );
    return own.toSorted((a, b) => (a.name < b.name ? -1 : 1));
  }

  /** The regions that have at least one key. */
  regions(): string[] {
    return [...new Set([...this.#keys.values()].map((key) => key.region))];
  }

  /** The keys of a region, except keys whose deletion date has passed. */
  keysOf(region: string): EmulatedKey[] {
    return [...this.#keys.values()].filter((key) => key.region === region && !isDeleted(key));
  }

  /**
   * Writes all keys and aliases to the data file, if there is one. Resolves when the file is on disk. Writes are
   * sequential, and a failed write does not prevent the next one.
   */
  save(): Promise<void> {
    const file = this.#dataFile;
    if (file === undefined) return Promise.resolve();
    this.#saving = this.#write(file, this.#saving);
    return this.#saving;
  }

  async #write(file: string, before: Promise<void>): Promise<void> {
    await before.catch(() => {});
    const saved: Saved = { keys: [...this.#keys.values()], aliases: [...this.#aliases.values()] };
    const handle = await open(`${file}.new`, 'w', 0o600);
    await handle.writeFile(JSON.stringify(saved));
    await handle.sync();
    await handle.close();
    await rename(`${file}.new`, file);
  }

  #keyOfAlias(place: Place, name: string): EmulatedKey | undefined {
    const alias = this.alias(place, name);
    return alias && this.#keyOfId(place, alias.keyId);
  }

  #keyOfId({ region, account }: Place, keyId: string): EmulatedKey | undefined {
    const key = this.#keys.get(`arn:aws:kms:${region}:${account}:key/${keyId}`);
    return key === undefined || isDeleted(key) ? undefined : key;
  }
}

function parseKeyId(place: Place, keyId: string): { at: Place; resource: string } {
  if (!keyId.startsWith('arn:')) return { at: place, resource: keyId };
  const [, region, account, resource] = ARN.exec(keyId) ?? [];
  if (region === undefined || account === undefined || resource === undefined)
    throw new KmsApiError('InvalidArnException', `Invalid ARN '${keyId}'`);
  return { at: { region, account }, resource: resource.replace(/^key\//, '') };
}

function isDeleted({ deletionSeconds = Infinity }: EmulatedKey): boolean {
  return deletionSeconds * 1000 <= Date.now();
}

function newBackingKey(): string {
  return randomBytes(32).toString('base64');
}
