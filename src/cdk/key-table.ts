import { Aws, type CfnTag, Fn, type ITaggableV2, Lazy, Stack, TagManager, TagType, Token } from 'aws-cdk-lib';
import type { CfnGlobalTable } from 'aws-cdk-lib/aws-dynamodb';
import { Construct } from 'constructs';
import { ARRAY, STRING, optional, optionsOf } from '../input/checks.ts';
import { checkedScope, InfraTemplate, stringsOf, textsOf } from './infra-template.ts';

/**
 * The logical ID of the nested stack that contains the roles. CloudFormation puts this ID into each role's name, after
 * the stack's name.
 */
export const ROLES_ID = 'Roles';

/** A replica that the template makes only under a condition. */
interface ConditionalReplica {
  readonly 'Fn::If': readonly [condition: string, made: object, none: object];
}

/** The options of a {@link KeyTable}. Each option sets a parameter of `infra/table.yml`. */
export interface KeyTableProps {
  /** The classification of the data whose keys the table holds, such as `confidential`. It becomes a tag. */
  readonly classification: string;
  /** The name of the table in every region. The default is `EncryptionKey`. */
  readonly tableName?: string | undefined;
  /** Up to three other regions with a replica. Each update of the stack can add or remove only one replica. */
  readonly replicaRegions?: readonly string[] | undefined;
  /**
   * The regions of `replicaRegions` whose replicas this deployment creates. CloudFormation cannot create a replica and
   * its policy in one update. So deploy once with the region in this list, which creates the replica. Then remove the
   * region and deploy again, which adds the policy.
   */
  readonly newReplicas?: readonly string[] | undefined;
  /** The `name` of a {@link SymmetricKey} that encrypts the table at rest. By default DynamoDB uses its own key. */
  readonly encryptionKeyName?: string | undefined;
  /**
   * The ARNs of other principals that may write to the table, such as operators who revoke keys. An asterisk at the end
   * matches any ending. Do not list the roles of a {@link KeyfoldApi} whose stack has the same name as the table's
   * stack. The policy already lets these roles write from any region.
   */
  readonly writers?: readonly string[] | undefined;
}

/**
 * The key table: a DynamoDB Global Table with point-in-time recovery, deletion protection and a policy that denies
 * writes by any principal other than Keyfold's roles and `writers`. It is `infra/table.yml` as a nested stack. Deploy
 * it in one region. Deleting the stack does not delete the table.
 * @example
 * import { App, Stack } from 'aws-cdk-lib';
 * import { KeyTable } from 'keyfold/cdk';
 *
 * const stack = new Stack(new App(), 'keyfold');
 * const table = new KeyTable(stack, 'Table', { classification: 'confidential', replicaRegions: ['us-east-1'] });
 */
export class KeyTable extends Construct implements ITaggableV2 {
  /** The name of the table in every region, for `KEYFOLD_TABLE` */
  readonly tableName: string;
  /** The ARN of this region's replica */
  readonly tableArn: string;
  /** The tags of every replica, which `Tags.of()` sets. */
  readonly cdkTagManager = new TagManager(TagType.STANDARD, 'AWS::DynamoDB::GlobalTable', [
    { key: 'Classification', value: Fn.ref('Classification') },
  ]);

  /** @throws TypeError if an option is invalid. The error names the option. */
  constructor(scope: Construct, id: string, props: KeyTableProps) {
    super(checkedScope(scope, id), id);
    const given = optionsOf<KeyTableProps>(props, 'props', {
      classification: STRING,
      tableName: optional(STRING),
      replicaRegions: optional(ARRAY),
      newReplicas: optional(ARRAY),
      encryptionKeyName: optional(STRING),
      writers: optional(ARRAY),
    });
    const replicas = stringsOf(given.replicaRegions, 'props.replicaRegions') ?? [];
    if (Token.isUnresolved(given.replicaRegions))
      throw new TypeError('props.replicaRegions must be known when the app is synthesized.');
    if (replicas.length > 3) throw new TypeError('props.replicaRegions must have at most three regions.');
    const regions = [Stack.of(this).region, ...replicas];
    if (replicas.includes('') || new Set(regions).size < regions.length)
      throw new TypeError('props.replicaRegions must be distinct regions other than that of the stack.');
    const added = new Set(stringsOf(given.newReplicas, 'props.newReplicas'));
    for (const region of added) {
      if (!replicas.includes(region)) throw new TypeError('props.newReplicas must be regions of props.replicaRegions.');
    }
    const roles = `arn:${Aws.PARTITION}:iam::${Aws.ACCOUNT_ID}:role/${Stack.of(this).stackName}-${ROLES_ID}-*`;
    const template = new InfraTemplate(this, 'Stack', 'table.yml', [
      { option: 'props.classification', parameter: 'Classification', value: given.classification },
      { option: 'props.tableName', parameter: 'TableName', value: given.tableName },
      ...replicas.map((value, i) => ({ option: 'props.replicaRegions', parameter: `ReplicaRegion${i + 1}`, value })),
      ...replicas.flatMap((region, i) =>
        added.has(region) ? [{ option: 'props.newReplicas', parameter: `ReplicaPolicy${i + 1}`, value: 'false' }] : [],
      ),
      { option: 'props.encryptionKeyName', parameter: 'EncryptionKeyName', value: given.encryptionKeyName },
      {
        option: 'props.writers',
        parameter: 'WriterArns',
        value: [roles, ...(textsOf(given.writers, 'props.writers') ?? [])],
      },
    ]);
    tagReplicas(template.included('Table') as CfnGlobalTable, this.cdkTagManager);
    this.tableName = given.tableName ?? 'EncryptionKey';
    this.tableArn = template.output('TableArn');
  }
}

/**
 * Sets the CDK's tags on each replica. In CloudFormation, only the replicas of a Global Table have tags, and the CDK
 * does not set these tags.
 */
function tagReplicas(table: CfnGlobalTable, manager: TagManager): void {
  const [own, ...others] = table.replicas as CfnGlobalTable.ReplicaSpecificationProperty[];
  const tags = (): CfnTag[] => manager.renderTags() as CfnTag[];
  const withTags = (replica: object): unknown => {
    const [condition, made, none] = (table.stack.resolve(replica) as ConditionalReplica)['Fn::If'];
    // Inside a condition, the CDK does not convert the names of members. So this object uses CloudFormation's names.
    return {
      'Fn::If': [condition, { ...made, Tags: tags().map(({ key, value }) => ({ Key: key, Value: value })) }, none],
    };
  };
  table.replicas = [
    { ...own, tags: Lazy.any({ produce: tags }) } as unknown as CfnGlobalTable.ReplicaSpecificationProperty,
    ...others.map((replica) => Lazy.any({ produce: () => withTags(replica) })),
  ];
}
