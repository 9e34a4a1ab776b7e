import { keyNameOf, queueNamesOf, stackOf, type Deployment } from './deployment.ts';

/** A stack of infra/, as a deployment has it in a region. */
export interface Stack {
  readonly name: string;
  readonly region: string;
  /** The file in infra/. */
  readonly template: 'keys.yml' | 'table.yml' | 'roles.yml';
  /** What the deployment says of it. Its other parameters stay as they are. */
  readonly parameters: Readonly<Record<string, string>>;
  /** Whether it is protected from being deleted. */
  readonly isKept: boolean;
}

/** The keys: one in each region, and in the first the policies of the account. */
export function keyStacks(deployment: Deployment): Stack[] {
  const { administrators, alarmEmail, alarmTopics, classification, regions } = deployment;
  return regions.map((region, i) => ({
    name: stackOf(deployment, 'keys'),
    region,
    template: 'keys.yml',
    parameters: {
      Name: keyNameOf(deployment),
      Classification: classification,
      AdministratorArns: administrators.join(','),
      AlarmEmail: alarmEmail ?? '',
      AlarmTopicArn: alarmTopics[region] ?? '',
      ...(i === 0 && { KeyRegions: regions.join(',') }),
    },
    isKept: true,
  }));
}

/** The table: one stack, in the first region, with a replica in each other. */
export function tableStacks(deployment: Deployment): Stack[] {
  const { classification, regions, tableKeyName, tableName, tableWriters } = deployment;
  const [region = '', ...others] = regions;
  return [
    {
      name: stackOf(deployment, 'table'),
      region,
      template: 'table.yml',
      parameters: {
        TableName: tableName,
        Classification: classification,
        EncryptionKeyName: tableKeyName ?? '',
        RolesStackName: stackOf(deployment, 'roles'),
        WriterArns: tableWriters.join(','),
        ...Object.fromEntries(REPLICAS.map((name, i) => [name, others[i] ?? ''])),
      },
      isKept: true,
    },
  ];
}

/** table.yml's parameters for the replicas. */
export const REPLICAS = ['ReplicaRegion1', 'ReplicaRegion2', 'ReplicaRegion3'] as const;

/** The functions' roles, in each region. */
export function roleStacks(deployment: Deployment): Stack[] {
  const { permissionsBoundary, prefix, product, regions, service, tableKeyName, tableName, tracing } = deployment;
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
      PermissionsBoundaryArn: permissionsBoundary ?? '',
    },
    isKept: false,
  }));
}
