import { ArnFormat, Stack } from 'aws-cdk-lib';
import { type IManagedPolicy, ManagedPolicy } from 'aws-cdk-lib/aws-iam';
import { Construct } from 'constructs';
import { ARRAY, BOOLEAN, NUMBER, STRING, oneOf, optional, optionsOf } from '../input/checks.ts';
import { checkedScope, InfraTemplate, requirePlaceOf, textsOf } from './infra-template.ts';

/** The options of a {@link SymmetricKey}. Each option sets a parameter of `infra/keys.yml`. */
export interface SymmetricKeyProps {
  /**
   * The classification of the data that the key protects, such as `confidential`. It becomes a tag. Make one key for
   * each classification.
   */
  readonly classification: string;
  /**
   * The ARNs of the roles that administer the key but cannot use it. The role with which CloudFormation deploys the
   * stack must be one of them, because KMS refuses a key policy that locks out its creator.
   */
  readonly administrators: readonly string[];
  /**
   * The name of the key. Its alias is `alias/NAME`, and its policies are `allow-encrypt-NAME` and so on. The default is
   * `keyfold`.
   */
  readonly name?: string | undefined;
  /**
   * The regions whose `alias/NAME` the three managed policies cover. Set this option in only one region of an account.
   * The stack in that region creates the policies for all regions. Without this option, a stack creates no policies.
   */
  readonly policyRegions?: readonly string[] | undefined;
  /**
   * The only services that may use the key, such as `dynamodb.us-west-2.amazonaws.com`. Leave this option out for
   * Keyfold's key, because the functions call KMS directly.
   */
  readonly viaServices?: readonly string[] | undefined;
  /**
   * The ARNs of principals of other accounts, so that they may encrypt. If `iamDecides` is false, also list the
   * principals of this account.
   */
  readonly encryptingPrincipals?: readonly string[] | undefined;
  /**
   * The ARNs of principals of other accounts, so that they may decrypt. If `iamDecides` is false, also list the
   * principals of this account.
   */
  readonly decryptingPrincipals?: readonly string[] | undefined;
  /**
   * Whether IAM policies decide which principals of the account use the key. If false, only the principals that this
   * construct names may use it, and an IAM policy alone is not enough. The default is true.
   */
  readonly iamDecides?: boolean | undefined;
  /** Roles that may create and revoke grants for the key. A grantee needs no policy. */
  readonly grantingPrincipals?: readonly string[] | undefined;
  /**
   * A KMS key that encrypts the SNS topic that the construct creates. The key must allow EventBridge and CloudWatch to
   * use it.
   */
  readonly topicKeyArn?: string | undefined;
  /** An SNS topic of the same account for the alarms. If it is absent, the construct creates a topic. */
  readonly alarmTopicArn?: string | undefined;
  /** An email address to subscribe to the topic that the construct creates. */
  readonly alarmEmail?: string | undefined;
  /** 1 for the first key, whose stack also creates the alias. Each replacement key has the next number. */
  readonly keyNumber?: number | undefined;
  /** The key's role in a replacement (`docs/how-to/replace-a-kms-key.md`). The default is `current`. */
  readonly standing?: 'next' | 'current' | 'retired' | 'none' | undefined;
  /** The ARN of the key that the alias points to, if that is not the first key. */
  readonly aliasTargetArn?: string | undefined;
}

/**
 * A KMS key for one region and one classification of data, with an alias, yearly rotation, policies and alarms. It is
 * `infra/keys.yml` as a nested stack. Deleting the stack does not delete the key or its alias.
 * @example
 * import { App, Stack } from 'aws-cdk-lib';
 * import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
 * import { SymmetricKey } from 'keyfold/cdk';
 *
 * const stack = new Stack(new App(), 'keys');
 * const key = new SymmetricKey(stack, 'Private', {
 *   name: 'private',
 *   classification: 'private',
 *   administrators: ['arn:aws:iam::111122223333:role/key-administrator'],
 *   policyRegions: ['us-west-2'],
 * });
 * const reader = new Role(stack, 'Reader', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
 * reader.addManagedPolicy(key.decryptPolicy); // allow-decrypt-private
 */
export class SymmetricKey extends Construct {
  /** The name of the key, without `alias/`. */
  readonly keyName: string;
  /**
   * The ARN of the alias, for `KEYFOLD_KMS_KEYS`. Refer to the key by this ARN, because the alias moves when another
   * key replaces this one.
   */
  readonly aliasArn: string;
  /** The managed policy `allow-encrypt-NAME` */
  readonly encryptPolicy: IManagedPolicy;
  /** The managed policy `allow-decrypt-NAME` */
  readonly decryptPolicy: IManagedPolicy;
  /**
   * The managed policy `allow-crypto-NAME`. It allows encryption, decryption, and moving ciphertexts from a former key
   * to the present one.
   */
  readonly cryptoPolicy: IManagedPolicy;

  /** @throws TypeError if an option is invalid. The error names the option. */
  constructor(scope: Construct, id: string, props: SymmetricKeyProps) {
    super(checkedScope(scope, id), id);
    const given = optionsOf<SymmetricKeyProps>(props, 'props', {
      classification: STRING,
      administrators: ARRAY,
      name: optional(STRING),
      policyRegions: optional(ARRAY),
      viaServices: optional(ARRAY),
      encryptingPrincipals: optional(ARRAY),
      decryptingPrincipals: optional(ARRAY),
      iamDecides: optional(BOOLEAN),
      grantingPrincipals: optional(ARRAY),
      topicKeyArn: optional(STRING),
      alarmTopicArn: optional(STRING),
      alarmEmail: optional(STRING),
      keyNumber: optional(NUMBER),
      standing: optional(oneOf('next', 'current', 'retired', 'none')),
      aliasTargetArn: optional(STRING),
    });
    const list = (option: keyof SymmetricKeyProps): readonly string[] | undefined =>
      textsOf(given[option], `props.${option}`);
    const policyRegions = list('policyRegions');
    const template = new InfraTemplate(this, 'Stack', 'keys.yml', [
      { option: 'props.name', parameter: 'Name', value: given.name },
      { option: 'props.classification', parameter: 'Classification', value: given.classification },
      { option: 'props.administrators', parameter: 'AdministratorArns', value: list('administrators') },
      { option: 'props.policyRegions', parameter: 'KeyRegions', value: policyRegions },
      { option: 'props.viaServices', parameter: 'ViaServices', value: list('viaServices') },
      {
        option: 'props.encryptingPrincipals',
        parameter: 'EncryptingPrincipalArns',
        value: list('encryptingPrincipals'),
      },
      {
        option: 'props.decryptingPrincipals',
        parameter: 'DecryptingPrincipalArns',
        value: list('decryptingPrincipals'),
      },
      { option: 'props.iamDecides', parameter: 'IamDecides', value: given.iamDecides },
      { option: 'props.grantingPrincipals', parameter: 'GrantingPrincipalArns', value: list('grantingPrincipals') },
      { option: 'props.topicKeyArn', parameter: 'TopicKeyArn', value: given.topicKeyArn },
      { option: 'props.alarmTopicArn', parameter: 'AlarmTopicArn', value: given.alarmTopicArn },
      { option: 'props.alarmEmail', parameter: 'AlarmEmail', value: given.alarmEmail },
      { option: 'props.keyNumber', parameter: 'KeyNumber', value: given.keyNumber },
      { option: 'props.standing', parameter: 'KeyStanding', value: given.standing },
      { option: 'props.aliasTargetArn', parameter: 'AliasTargetArn', value: given.aliasTargetArn },
    ]);
    for (const option of ['topicKeyArn', 'alarmTopicArn', 'aliasTargetArn'] as const)
      requirePlaceOf(Stack.of(this), 'region', `props.${option}`, given[option]);
    requirePlaceOf(Stack.of(this), 'account', 'props.alarmTopicArn', given.alarmTopicArn);
    this.keyName = given.name ?? 'keyfold';
    this.aliasArn = Stack.of(this).formatArn({
      service: 'kms',
      resource: 'alias',
      resourceName: this.keyName,
      arnFormat: ArnFormat.SLASH_RESOURCE_NAME,
    });
    // Refer to the policies of another region's stack by name. Refer to this stack's policies by its outputs, so that
    // CloudFormation creates them before it attaches them to a role.
    const isMade = policyRegions !== undefined && policyRegions.length > 0 && (given.keyNumber ?? 1) === 1;
    const policy = (kind: 'Encrypt' | 'Decrypt' | 'Crypto'): IManagedPolicy =>
      isMade
        ? ManagedPolicy.fromManagedPolicyArn(this, kind, template.output(`${kind}PolicyArn`))
        : ManagedPolicy.fromManagedPolicyName(this, kind, `allow-${kind.toLowerCase()}-${this.keyName}`);
    this.encryptPolicy = policy('Encrypt');
    this.decryptPolicy = policy('Decrypt');
    this.cryptoPolicy = policy('Crypto');
  }
}
