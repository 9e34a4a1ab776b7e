import { keyNameOf, queueNamesOf, stackOf, type Deployment } from './deployment.ts';

/** A stack of infra/ in one region of a deployment. */
export interface Stack {
  readonly name: string;
  readonly region: string;
  /** The name of the template in infra/. */
  readonly template: 'keys.yml' | 'table.yml' | 'roles.yml';
  /** The parameters that the deployment determines. All other parameters keep their values. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Whether the stack is protected from deletion. */
  readonly isKept: boolean;
}

/**
 * The ARNs of the functions' roles in all regions, by their use of the keys. All functions encrypt and decrypt, except
 * `open`, which only decrypts.
 */
export interface FunctionRoles {
  readonly encrypt: readonly string[];
  readonly decrypt: readonly string[];
}

/**
 * The stacks of the keys, one per region. The first of them also contains the policies for the whole account. With
 * strict keys, each key names the functions' roles of every region, because each region wraps System Keys under every
 * region's key.
 */
export function keyStacks(deployment: Deployment, roles: FunctionRoles): Stack[] {
  const { administrators, alarmEmail, alarmTopics, classification, regions, storageKeys, strictKeys } = deployment;
  return regions.map((region, i) => ({
    name: stackOf(deployment, 'keys'),
    region,
    template: 'keys.yml',
    parameters: {
      Name: keyNameOf(deployment),
      Classification: classification,
      AdministratorArns: administrators.join(','),
      IamDecides: String(strictKeys === undefined),
      ...(strictKeys !== undefined && {
        EncryptingPrincipalArns: [...roles.encrypt, ...strictKeys.encrypt].join(','),
        DecryptingPrincipalArns: [...roles.decrypt, ...strictKeys.decrypt].join(','),
        GrantingPrincipalArns: strictKeys.grant.join(','),
      }),
      AlarmEmail: alarmEmail ?? '',
      AlarmTopicArn: alarmTopics[region] ?? '',
      TopicKeyArn: storageKeys[region] ?? '',
      ...(i === 0 && { KeyRegions: regions.join(',') }),
    },
    isKept: true,
  }));
}

/**
 * The stack of the table, which is in the first region. The other regions have replicas. CloudFormation cannot make a
 * replica and its policy in one update, so the list contains the stack twice if replicas are new: first without their
 * policies.
 * @param existing the regions that have a replica
 */
export function tableStacks(deployment: Deployment, existing: readonly string[]): Stack[] {
  const { classification, regions, tableKeyName, tableName, tableWriters } = deployment;
  const [region = '', ...others] = regions;
  const stackWith = (hasPolicy: (replica: string) => boolean): Stack => ({
    name: stackOf(deployment, 'table'),
    region,
    template: 'table.yml',
    parameters: {
      TableName: tableName,
      Classification: classification,
      EncryptionKeyName: tableKeyName ?? '',
      RolesStackName: stackOf(deployment, 'roles'),
      WriterArns: tableWriters.join(','),
      ...Object.fromEntries(
        REPLICAS.flatMap((name, i) => [
          [name, others[i] ?? ''],
          [`ReplicaPolicy${i + 1}`, String(hasPolicy(others[i] ?? ''))],
        ]),
      ),
    },
    isKept: true,
  });
  const whole = stackWith(() => true);
  if (others.every((replica) => existing.includes(replica))) return [whole];
  return [stackWith((replica) => replica === '' || existing.includes(replica)), whole];
}

/** The parameters of table.yml for the replicas. */
export const REPLICAS = ['ReplicaRegion1', 'ReplicaRegion2', 'ReplicaRegion3'] as const;

/** The stacks of the functions' roles, one stack per region. */
export function roleStacks(deployment: Deployment): Stack[] {
  const { permissionsBoundary, prefix, product, regions, service, tableKeyName, tableName, tracing, vpc } = deployment;
  const queues = queueNamesOf(deployment);
  return regions.map((region) => ({
    name: stackOf(deployment, 'roles'),
    region,
    template: 'roles.yml',
    parameters: {
      FunctionPrefix: prefix,
      KeyName: keyNameOf(deployment),
      KeyRegions: regions.join(','),
      TableName: tableName,
      Service: service,
      Product: product,
      TableKeyName: tableKeyName ?? '',
      InputQueueName: queues?.input ?? '',
      ...(queues !== undefined && { OutputQueueName: queues.output, DeadLetterQueueName: queues.deadLetters }),
      Tracing: String(tracing),
      InVpc: String(vpc !== undefined),
      PermissionsBoundaryArn: permissionsBoundary ?? '',
    },
    isKept: false,
  }));
}
