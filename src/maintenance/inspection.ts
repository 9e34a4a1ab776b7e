import type { Outcome } from '../connections/inspected-calls.ts';

/** A KMS key, as `DescribeKey` returns it. */
export interface KmsKeyDescription {
  readonly arn: string;
  /** `Enabled`, `Disabled`, `PendingDeletion` and so on. */
  readonly state: string;
  /** When KMS will delete the key, in milliseconds since 1970. Undefined if no deletion is scheduled. */
  readonly deletedAtMs: number | undefined;
  /** When the key's imported material expires, in milliseconds since 1970. Undefined if it does not expire. */
  readonly materialEndsAtMs: number | undefined;
  /** Whether the key is symmetric and can encrypt. */
  readonly encrypts: boolean;
  /** The origin of the key's material. KMS rotates the material automatically only if the origin is `AWS_KMS`. */
  readonly origin: string;
}

/** An operator's view of the configured KMS key of one region. No method throws. */
export interface KmsInspector {
  readonly region: string;
  /** The configured KMS key: a key ARN or an alias ARN. */
  readonly keyArn: string;
  /**
   * Tries each action that Keyfold calls. `GenerateDataKey` and `Decrypt` are dry runs. `Decrypt` needs a ciphertext,
   * which `Encrypt` makes from 32 zeros. So `Decrypt` is absent if `Encrypt` fails.
   */
  tryActions(): Promise<Readonly<Partial<Record<'GenerateDataKey' | 'Encrypt' | 'Decrypt', Outcome<void>>>>>;
  /** Tries to decrypt a wrap, as a dry run. For `keyId`, see `KmsRegion.decrypt`. */
  tryDecrypt(wrapped: Uint8Array, keyId: string | undefined): Promise<Outcome<void>>;
  describe(): Promise<Outcome<KmsKeyDescription>>;
  /** The days between automatic rotations of a key. Undefined if KMS does not rotate the key. */
  rotation(arn: string): Promise<Outcome<number | undefined>>;
  /**
   * AWS's clock minus the clock of this machine, in milliseconds, from the last response. Undefined before the first
   * response.
   */
  clockOffsetMs(): number | undefined;
}

/** A DynamoDB table, as `DescribeTable` returns it. */
export interface TableDescription {
  readonly arn: string;
  readonly status: string;
  /** The attributes of the primary key, such as `Id S HASH`. */
  readonly schema: readonly string[];
  readonly isDeletionProtected: boolean;
  /** The KMS key that encrypts the table. Undefined for DynamoDB's own key. */
  readonly encryption: { readonly keyArn: string; readonly inaccessible: boolean } | undefined;
  /**
   * The capacity units per second that the table itself allows. A member is undefined if only the account's quota
   * applies.
   */
  readonly capacity: { readonly reads: number | undefined; readonly writes: number | undefined };
  /** The number of rows, which DynamoDB counts about every six hours. */
  readonly rows: number;
  /** The replicas in other regions. */
  readonly replicas: readonly { readonly region: string; readonly status: string }[];
}

/** An operator's view of a table and of its settings. No method throws. */
export interface TableInspector {
  describe(): Promise<Outcome<TableDescription>>;
  /** How many days back the table can be restored. Undefined if point-in-time recovery is off. */
  recoveryDays(): Promise<Outcome<number | undefined>>;
  /** The attribute by which DynamoDB deletes rows (time to live). Undefined if DynamoDB deletes none. */
  expiryAttribute(): Promise<Outcome<string | undefined>>;
  /** When the credentials expire, in milliseconds since 1970. Undefined if they do not expire. */
  credentialsEndAtMs(): Promise<Outcome<number | undefined>>;
  /** Like {@link KmsInspector.clockOffsetMs}. */
  clockOffsetMs(): number | undefined;
}

/** An SQL database that contains the key table. */
export interface DatabaseInspection {
  /** The server's clock minus the clock of this machine, in milliseconds. */
  readonly clockOffsetMs: number;
  /** Whether a unique index covers exactly the columns `id` and `created`. */
  readonly hasPrimaryKey: boolean;
  /** Whether the server or the session refuses writes, as a replica does. */
  readonly isReadOnly: boolean;
  /** Whether the session's settings could truncate or lose a write. Keyfold then refuses to write. */
  readonly isUnsafe: boolean;
  /** Whether the table has at least one row. */
  readonly holdsRows: boolean;
  /** Whether the user may insert rows. Always true for MySQL and MariaDB, where Keyfold does not check this. */
  readonly canInsert: boolean;
  /** Whether row-level security applies to the user. */
  readonly mayHideRows: boolean;
  /**
   * Whether a column cannot hold what Keyfold writes: `created` holds dates without a time of day, or `key_record` is
   * too short.
   */
  readonly isTooNarrow: boolean;
}

/** A quota in AWS Service Quotas. */
export interface QuotaName {
  /** The code of the service, such as `kms`. */
  readonly service: string;
  /** The code of the quota, such as `L-6E3AF000`. */
  readonly code: string;
}

/** The CloudWatch metric that counts how much of a quota is used. */
export interface UsageMetric {
  readonly namespace: string;
  readonly name: string;
  readonly dimensions: Readonly<Record<string, string>>;
}

/** The value of a quota, and the metric that counts its use. */
export interface Quota {
  /** Undefined if Service Quotas does not know it. */
  readonly value: number | undefined;
  /** Undefined if Service Quotas names no metric. */
  readonly metric: UsageMetric | undefined;
}

/** An operator's view of the quotas of an AWS account in one region. No method throws. */
export interface QuotaInspector {
  /** The quota that applies to the account. */
  quota(name: QuotaName): Promise<Outcome<Quota>>;
  /**
   * The requests or units per second in the busiest minute of the last 24 hours. Undefined if CloudWatch has no data.
   */
  peakRate(metric: UsageMetric): Promise<Outcome<number | undefined>>;
}
