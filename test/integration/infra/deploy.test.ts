/** Tests the deployment scripts with fakes in place of the AWS CLI and osls. */
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { yamlParse } from 'yaml-cfn';
import { environmentOf } from '../../../deploy/app.ts';
import { deploymentSchema } from '../../../deploy/deployment.ts';
import { describePackage, packageFolder } from '../../../deploy/package.ts';
import { VPC } from './package.ts';
import { EXAMPLE, invoked, namesOf, startCli, type Answers, type Cli, type Outcome } from './aws-cli.ts';
import { templateOf } from './template.ts';

vi.mock('node:child_process', async (original) => {
  const { withFakes } = await import('./fake-processes.ts');
  return withFakes(await original());
});

let cli: Cli;
beforeEach(async () => {
  cli = await startCli();
});
afterEach(() => cli.remove());

const ADMINISTRATOR = 'arn:aws:iam::111122223333:role/key-administrator';

const ABSENT = {
  'cloudformation describe-stacks': 'Stack with id keyfold-keys does not exist',
  'cloudformation get-template': 'Stack with id keyfold-app does not exist',
};

function changes(...list: [action: string, type: string, replacement?: string][]): Answers {
  const Changes = list.map(([Action, ResourceType, Replacement]) => ({
    ResourceChange: { Action, LogicalResourceId: 'It', ResourceType, Replacement },
  }));
  return { 'cloudformation describe-change-set': { Status: 'CREATE_COMPLETE', Changes } };
}

/** An event of a stack. CHANGE_SET is the token of the current operation. */
function event(id: string, status: string, reason?: string, token = 'CHANGE_SET'): object {
  return { LogicalResourceId: id, ResourceStatus: status, ResourceStatusReason: reason, ClientRequestToken: token };
}

function callerOf(Arn: string): Answers {
  return { 'sts get-caller-identity': { Account: '111122223333', Arn } };
}

/** The parameters of each requested change set. */
function parametersOf({ calls }: Outcome): Record<string, unknown>[] {
  return calls
    .filter(({ name }) => name === 'cloudformation create-change-set')
    .map(({ args }) => {
      const list = JSON.parse(args[args.indexOf('--parameters') + 1] as string) as Record<string, unknown>[];
      return Object.fromEntries(
        list.map(({ ParameterKey, ParameterValue, UsePreviousValue }) => [
          ParameterKey,
          ParameterValue ?? { UsePreviousValue },
        ]),
      );
    });
}

/** The value of an option in each call of a command. */
function optionOf({ calls }: Outcome, command: string, option: string): unknown[] {
  return calls
    .filter(({ name }) => name === `cloudformation ${command}`)
    .map(({ args }) => (args.includes(option) ? args[args.indexOf(option) + 1] : undefined));
}

/** The description of an existing stack. */
function stackIn(StackStatus: string, ...parameters: [name: string, value: string][]): Answers {
  const Parameters = parameters.map(([ParameterKey, ParameterValue]) => ({ ParameterKey, ParameterValue }));
  return { 'cloudformation describe-stacks': { Stacks: [{ StackId: 'it', StackStatus, Parameters }] } };
}

it('every call of the AWS CLI names its region, requests JSON, and disables the pager', async () => {
  const outcome = await cli.deploy(['keys', '--yes'], { ...ABSENT, ...changes(['Add', 'AWS::KMS::Key']) });
  const regions = outcome.calls.map(({ args }) => args[1]);
  for (const { args } of outcome.calls) {
    expect(args.slice(0, 5)).toEqual(['--region', expect.any(String), '--output', 'json', '--no-cli-pager']);
  }
  // The script reads the caller's identity in the first region, and then deploys to the regions in turn.
  expect(regions.filter((region, i) => region !== regions[i - 1])).toEqual(['us-west-2', 'us-east-1']);
});

it.for([
  ['no target', []],
  ['an unknown target', ['queues']],
  ['two targets in one word', ['keys-and-table', '--yes']],
] as const)('deploy rejects a command with %s', async ([, args]) => {
  const outcome = await cli.deploy(args, {});
  expect(outcome).toMatchObject({ code: 1, said: 'name what to deploy: keys, table, roles or app\n', calls: [] });
});

/** A run's exit code and lines, and each of its calls in a line, without the options that other tests check. */
function transcriptOf({ code, said, calls }: Outcome): object {
  const lines = calls.map(({ name, args }) => {
    const [, region, ...rest] = args[2] === '--output' ? args.toSpliced(2, 3) : ['', '', ...args];
    const shown = rest.filter((word) => !/^(?:AWS|OSLS|SLS)_|^[[{]/.test(word));
    return withoutPlaces([name, region, ...shown].filter((word) => word !== '').join(' '));
  });
  return { code, said: said.split('\n'), calls: lines };
}

/** A call without the folder of the repository, and without the number in the name of its change set. */
function withoutPlaces(call: string): string {
  return call
    .replaceAll(/keyfold-\d{13}/g, 'CHANGE_SET')
    .replaceAll(/(?:file:\/\/)?\/\S*\/(?=infra\/|\.keyfold\/)/g, '')
    .replace(/ --capabilities .*/, '');
}

describe('a whole run', () => {
  const prefix = 'stand-in';
  const regions = ['us-west-2'];
  afterEach(() => rm(packageFolder({ prefix }, '.'), { recursive: true, force: true }));

  it('of deploy:keys makes these calls for a new stack and for a rolled-back stack', async () => {
    const outcome = await cli.deploy(['keys', '--yes'], {
      ...changes(['Add', 'AWS::KMS::Key']),
      'cloudformation describe-stacks': [
        'Stack with id keyfold-keys does not exist',
        { Stacks: [{ StackId: 'the-id', StackStatus: 'ROLLBACK_COMPLETE' }] },
      ],
      'cloudformation list-stack-resources': { StackResourceSummaries: [] },
    });
    expect(transcriptOf(outcome)).toMatchInlineSnapshot(`
      {
        "calls": [
          "sts get-caller-identity us-west-2",
          "cloudformation describe-stacks us-west-2 --stack-name keyfold-keys",
          "cloudformation create-change-set us-west-2 --stack-name keyfold-keys --change-set-name CHANGE_SET --change-set-type CREATE --template-body infra/keys.yml",
          "cloudformation wait us-west-2 change-set-create-complete --stack-name keyfold-keys --change-set-name CHANGE_SET",
          "cloudformation describe-change-set us-west-2 --stack-name keyfold-keys --change-set-name CHANGE_SET",
          "cloudformation execute-change-set us-west-2 --stack-name keyfold-keys --change-set-name CHANGE_SET --client-request-token CHANGE_SET",
          "cloudformation wait us-west-2 stack-create-complete --stack-name keyfold-keys",
          "cloudformation update-termination-protection us-west-2 --stack-name keyfold-keys --enable-termination-protection",
          "cloudformation set-stack-policy us-west-2 --stack-name keyfold-keys --stack-policy-body",
          "cloudformation describe-stacks us-east-1 --stack-name keyfold-keys",
          "cloudformation list-stack-resources us-east-1 --stack-name the-id",
          "cloudformation delete-stack us-east-1 --stack-name the-id",
          "cloudformation wait us-east-1 stack-delete-complete --stack-name the-id",
          "cloudformation create-change-set us-east-1 --stack-name keyfold-keys --change-set-name CHANGE_SET --change-set-type CREATE --template-body infra/keys.yml",
          "cloudformation wait us-east-1 change-set-create-complete --stack-name keyfold-keys --change-set-name CHANGE_SET",
          "cloudformation describe-change-set us-east-1 --stack-name keyfold-keys --change-set-name CHANGE_SET",
          "cloudformation execute-change-set us-east-1 --stack-name keyfold-keys --change-set-name CHANGE_SET --client-request-token CHANGE_SET",
          "cloudformation wait us-east-1 stack-create-complete --stack-name keyfold-keys",
          "cloudformation update-termination-protection us-east-1 --stack-name keyfold-keys --enable-termination-protection",
          "cloudformation set-stack-policy us-east-1 --stack-name keyfold-keys --stack-policy-body",
        ],
        "code": 0,
        "said": [
          "keyfold-keys in us-west-2:",
          "  Add It (AWS::KMS::Key)",
          "keyfold-keys in us-west-2: done",
          "keyfold-keys in us-east-1: could not be made, is empty, and is deleted first",
          "keyfold-keys in us-east-1:",
          "  Add It (AWS::KMS::Key)",
          "keyfold-keys in us-east-1: done",
          "",
        ],
      }
    `);
  });

  it('of deploy:table without --yes makes these calls', async () => {
    const set = changes(['Modify', 'AWS::DynamoDB::GlobalTable', 'False']);
    const outcome = await cli.deploy(['table'], { ...stackIn('UPDATE_COMPLETE'), ...set });
    expect(transcriptOf(outcome)).toMatchInlineSnapshot(`
      {
        "calls": [
          "sts get-caller-identity us-west-2",
          "cloudformation describe-stacks us-west-2 --stack-name keyfold-table",
          "cloudformation describe-stacks us-west-2 --stack-name keyfold-table",
          "cloudformation create-change-set us-west-2 --stack-name keyfold-table --change-set-name CHANGE_SET --change-set-type UPDATE --template-body infra/table.yml",
          "cloudformation wait us-west-2 change-set-create-complete --stack-name keyfold-table --change-set-name CHANGE_SET",
          "cloudformation describe-change-set us-west-2 --stack-name keyfold-table --change-set-name CHANGE_SET",
          "cloudformation delete-change-set us-west-2 --stack-name keyfold-table --change-set-name CHANGE_SET",
        ],
        "code": 0,
        "said": [
          "keyfold-table in us-west-2:",
          "  Modify It (AWS::DynamoDB::GlobalTable)",
          "Nothing was changed. The same with -- --yes does it.",
          "",
        ],
      }
    `);
  });

  it('of deploy:roles makes these calls if CloudFormation fails', async () => {
    const outcome = await cli.deploy(['roles', '--yes'], {
      ...stackIn('UPDATE_COMPLETE'),
      ...changes(['Modify', 'AWS::IAM::Role', 'False']),
      'cloudformation get-template': {},
      'stack-update-complete': 'Waiter StackUpdateComplete failed',
      'cloudformation describe-stack-events': { StackEvents: [event('ApiRole', 'UPDATE_FAILED', 'it is so')] },
    });
    expect(transcriptOf(outcome)).toMatchInlineSnapshot(`
      {
        "calls": [
          "sts get-caller-identity us-west-2",
          "cloudformation get-template us-west-2 --stack-name keyfold-app",
          "cloudformation describe-stacks us-west-2 --stack-name keyfold-roles",
          "cloudformation create-change-set us-west-2 --stack-name keyfold-roles --change-set-name CHANGE_SET --change-set-type UPDATE --template-body infra/roles.yml",
          "cloudformation wait us-west-2 change-set-create-complete --stack-name keyfold-roles --change-set-name CHANGE_SET",
          "cloudformation describe-change-set us-west-2 --stack-name keyfold-roles --change-set-name CHANGE_SET",
          "cloudformation execute-change-set us-west-2 --stack-name keyfold-roles --change-set-name CHANGE_SET --client-request-token CHANGE_SET",
          "cloudformation wait us-west-2 stack-update-complete --stack-name keyfold-roles",
          "cloudformation describe-stack-events us-west-2 --stack-name keyfold-roles",
        ],
        "code": 1,
        "said": [
          "keyfold-roles in us-west-2:",
          "  Modify It (AWS::IAM::Role)",
          "keyfold-roles in us-west-2 failed: ApiRole: it is so",
          "",
        ],
      }
    `);
  });

  it('of deploy makes these calls', async () => {
    const key = { id: '_SK_orders_shop_us-west-2', created: 1_790_000_000, state: 'valid' };
    const outcome = await cli.deploy(
      ['app', '--yes'],
      {
        'cloudformation describe-stacks': { Stacks: [{ StackId: 'the-id', StackStatus: 'REVIEW_IN_PROGRESS' }] },
        'cloudformation list-stack-resources': { StackResourceSummaries: [] },
        'cloudformation get-template': {},
        'osls package': { Resources: { It: { Type: 'AWS::SNS::Topic' } } },
        'osls deploy': {},
        'lambda invoke': invoked({ systemKeys: [{ ...key, regions: [{ region: 'us-west-2', opens: true }] }] }),
      },
      { prefix, regions },
    );
    expect(transcriptOf(outcome)).toMatchInlineSnapshot(`
      {
        "calls": [
          "sts get-caller-identity us-west-2",
          "osls package --package .keyfold/app/stand-in/us-west-2 --region us-west-2",
          "cloudformation describe-stacks us-west-2 --stack-name stand-in-app",
          "cloudformation list-stack-resources us-west-2 --stack-name the-id",
          "cloudformation delete-stack us-west-2 --stack-name the-id",
          "cloudformation wait us-west-2 stack-delete-complete --stack-name the-id",
          "cloudformation get-template us-west-2 --stack-name stand-in-app",
          "configure export-credentials us-west-2 --format process",
          "osls deploy --package .keyfold/app/stand-in/us-west-2 --region us-west-2",
          "lambda invoke us-west-2 --cli-read-timeout 0 --function-name stand-in-maintenance .keyfold/app/stand-in/us-west-2/maintenance.json",
        ],
        "code": 0,
        "said": [
          "stand-in-app in us-west-2: could not be made, is empty, and is deleted first",
          "stand-in-app in us-west-2: beside the functions' code",
          "  Add It (AWS::SNS::Topic)",
          "stand-in-app in us-west-2: done, and every region opens every System Key",
          "",
        ],
      }
    `);
  });

  it('with --help only describes the commands', async () => {
    expect(transcriptOf(await cli.deploy(['keys', '--yes', '--help'], {}))).toMatchInlineSnapshot(`
      {
        "calls": [],
        "code": 0,
        "said": [
          "npm run deploy:keys|deploy:table|deploy:roles|deploy -- [options]",
          "Shows what would change in the stacks that deploy.yml describes.",
          "",
          "  --yes            makes these changes",
          "  --region REGION  deploys only the stack of this region",
          "",
        ],
      }
    `);
  });
});

describe('the change set', () => {
  it.for([
    ['keys', 'keyfold-keys'],
    ['table', 'keyfold-table'],
    ['roles', 'keyfold-roles'],
  ] as const)("for the %s stack uses that stack's template, and may change IAM resources", async ([what, name]) => {
    const outcome = await cli.deploy([what], { ...ABSENT, ...changes() }, { regions: ['us-west-2'] });
    expect(optionOf(outcome, 'create-change-set', '--stack-name')).toEqual([name]);
    const [template] = optionOf(outcome, 'create-change-set', '--template-body');
    expect(template).toMatch(new RegExp(`^file:///.*/infra/${what}\\.yml$`));
    const { args = [] } = outcome.calls.find((call) => call.name === 'cloudformation create-change-set') ?? {};
    const capabilities = args.slice(args.indexOf('--capabilities') + 1, args.indexOf('--parameters'));
    expect(capabilities).toEqual(['CAPABILITY_IAM', 'CAPABILITY_NAMED_IAM']);
  });

  it('creates a stack that does not exist or was only planned, and updates any other stack', async () => {
    const typeWith = async (there: Answers): Promise<unknown[]> => {
      const outcome = await cli.deploy(['roles'], { ...ABSENT, ...there, ...changes() }, { regions: ['us-west-2'] });
      return [
        ...optionOf(outcome, 'create-change-set', '--change-set-type'),
        parametersOf(outcome)[0]?.['TableKeyName'],
      ];
    };
    // The script must not ask CloudFormation to keep previous values of a stack that was never created.
    expect(await typeWith({})).toEqual(['CREATE', '']);
    expect(await typeWith(stackIn('REVIEW_IN_PROGRESS'))).toEqual(['CREATE', '']);
    expect(await typeWith(stackIn('UPDATE_ROLLBACK_COMPLETE'))).toEqual(['UPDATE', '']);
    const reviewed = { ...stackIn('REVIEW_IN_PROGRESS', ['AliasTargetArn', 'x']), ...changes() };
    expect(parametersOf(await cli.deploy(['keys'], reviewed))[0]).not.toHaveProperty('AliasTargetArn');
  });

  it.for(["The submitted information didn't contain changes.", 'No updates are to be performed.'])(
    'is deleted without an error if its creation fails with "%s"',
    async (StatusReason) => {
      const outcome = await cli.deploy(['table'], {
        ...stackIn('CREATE_COMPLETE'),
        'change-set-create-complete': 'Waiter ChangeSetCreateComplete failed',
        'cloudformation describe-change-set': { Status: 'FAILED', StatusReason, Changes: [] },
      });
      expect(outcome.code).toBe(0);
      expect(outcome.said).toContain('keyfold-table in us-west-2: nothing to change\n');
      expect(namesOf(outcome).at(-1)).toBe('cloudformation delete-change-set');
    },
  );

  it.for([
    ['rejects the template', { Status: 'FAILED', StatusReason: 'Template error: it' }, 'Template error: it'],
    ['does not finish creating the change set', { Status: 'CREATE_IN_PROGRESS' }, 'CREATE_IN_PROGRESS'],
  ] as const)('is deleted, and the script fails, if CloudFormation %s', async ([, set, said]) => {
    const answer = { 'cloudformation describe-change-set': { ...set, Changes: [] } };
    const outcome = await cli.deploy(['table', '--yes'], { ...ABSENT, ...answer });
    expect(outcome).toMatchObject({ code: 1, said: `keyfold-table in us-west-2: ${said}\n` });
    expect(namesOf(outcome).at(-1)).toBe('cloudformation delete-change-set');
  });

  it('is printed, and says which changes replace or may replace a resource', async () => {
    const outcome = await cli.deploy(['roles'], {
      ...ABSENT,
      ...stackIn('CREATE_COMPLETE'),
      ...changes(
        ['Modify', 'AWS::IAM::Role', 'True'],
        ['Modify', 'AWS::SNS::Topic', 'Conditional'],
        ['Modify', 'AWS::Events::Rule', 'False'],
        ['Remove', 'AWS::IAM::ManagedPolicy'],
      ),
    });
    expect(outcome.code).toBe(0);
    expect(outcome.said).toContain(
      '  Modify It (AWS::IAM::Role), by a new one\n  Modify It (AWS::SNS::Topic), maybe by a new one\n' +
        '  Modify It (AWS::Events::Rule)\n  Remove It (AWS::IAM::ManagedPolicy)\n',
    );
  });

  it.for(['AWS::KMS::Key', 'AWS::KMS::Alias', 'AWS::DynamoDB::GlobalTable'])(
    'may add an %s, or change a resource of that type without replacing the resource',
    async (type) => {
      const set = changes(['Add', type, 'True'], ['Modify', type, 'False']);
      const outcome = await cli.deploy(['keys', '--yes'], { ...stackIn('CREATE_COMPLETE'), ...set });
      expect(outcome.code).toBe(0);
      expect(outcome.said).toContain('keyfold-keys in us-west-2: done\n');
    },
  );

  it('is executed with its name as the request token, so that the script can find the failure events', async () => {
    const planned = changes(['Add', 'AWS::KMS::Key']);
    const outcome = await cli.deploy(['keys', '--yes'], { ...ABSENT, ...planned }, { regions: ['us-west-2'] });
    const [made] = optionOf(outcome, 'create-change-set', '--change-set-name');
    expect(made).toMatch(/^keyfold-\d+$/);
    expect(optionOf(outcome, 'execute-change-set', '--change-set-name')).toEqual([made]);
    expect(optionOf(outcome, 'execute-change-set', '--client-request-token')).toEqual([made]);
    const { args = [] } = outcome.calls.at(-2) ?? {};
    expect(args.slice(5)).toEqual(['--stack-name', 'keyfold-keys', '--enable-termination-protection']);
  });

  it.for([
    ['a new stack', 'stack-create-complete', {}],
    ['an existing stack', 'stack-update-complete', stackIn('UPDATE_COMPLETE')],
  ] as const)('for %s is awaited with the waiter %s', async ([, waiter, there]) => {
    const outcome = await cli.deploy(
      ['roles', '--yes'],
      {
        ...ABSENT,
        ...there,
        ...changes(['Add', 'AWS::IAM::Role']),
        [waiter]: `Waiter ${waiter} failed`,
        'cloudformation describe-stack-events': {
          StackEvents: [event('ApiRole', 'UPDATE_FAILED', 'it is so'), event('ApiRole', 'UPDATE_IN_PROGRESS')],
        },
      },
      { regions: ['us-west-2'] },
    );
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.said).toContain('keyfold-roles in us-west-2 failed: ApiRole: it is so\n');
  });
});

describe('a stack in an unknown state', () => {
  it.for(['keys', 'app'])('stops "deploy %s"', async (what) => {
    const outcome = await cli.deploy([what, '--yes'], {
      ...ABSENT,
      'cloudformation describe-stacks': 'AccessDenied: not authorized \n',
      'osls package': { Resources: {} },
    });
    expect(outcome.code).toBe(1);
    expect(outcome.said).toContain(
      'aws cloudformation describe-stacks in us-west-2 failed: AccessDenied: not authorized\n',
    );
    expect(namesOf(outcome).at(-1)).toBe('cloudformation describe-stacks');
  });

  it.for(['roles', 'app'])(
    'whose template cannot be read stops "deploy %s" if that stack is the app\'s stack',
    async (what) => {
      const outcome = await cli.deploy([what, '--yes'], {
        ...ABSENT,
        'cloudformation get-template': 'AccessDenied: not authorized',
        'osls package': { Resources: {} },
      });
      expect(outcome.code).toBe(1);
      expect(outcome.said).toContain('get-template in us-west-2 failed: AccessDenied: not authorized');
      expect(namesOf(outcome).at(-1)).toBe('cloudformation get-template');
    },
  );
});

describe('a deploy script without --yes', () => {
  it('prints its plan, deletes its change sets and changes nothing', async () => {
    const outcome = await cli.deploy(['keys'], { ...ABSENT, ...changes(['Add', 'AWS::KMS::Key']) });
    expect(outcome.code).toBe(0);
    expect(outcome.said).toContain('keyfold-keys in us-west-2:\n  Add It (AWS::KMS::Key)');
    expect(outcome.said).toContain('keyfold-keys in us-east-1:');
    expect(outcome.said).toContain('Nothing was changed');
    expect(namesOf(outcome)).not.toContain('cloudformation execute-change-set');
    expect(namesOf(outcome).filter((name) => name === 'cloudformation delete-change-set')).toHaveLength(2);
  });
});

describe('a deploy script with --region', () => {
  it.for(['keys', 'roles'])('deploys only the stack "%s" of that region', async (stack) => {
    const args = [stack, '--yes', '--region', 'us-east-1'];
    const outcome = await cli.deploy(args, { ...ABSENT, ...changes(['Add', 'AWS::SNS::Topic']) });
    expect(outcome.code).toBe(0);
    expect(outcome.said).toContain(`keyfold-${stack} in us-east-1: done`);
    const changed = outcome.calls.filter(({ name }) => /change-set/.test(name));
    expect(new Set(changed.map(({ args: given }) => given[given.indexOf('--region') + 1]))).toEqual(
      new Set(['us-east-1']),
    );
    // Only the first region makes the policies of the keys. The roles may use the keys of every region.
    const keyRegions = stack === 'keys' ? undefined : 'us-west-2,us-east-1';
    expect(parametersOf(outcome)[0]?.['KeyRegions']).toBe(keyRegions);
  });

  it('deploys the table only if --region names the first region, which has the stack of the table', async () => {
    const given = { ...ABSENT, ...changes(['Add', 'AWS::DynamoDB::GlobalTable']) };
    expect((await cli.deploy(['table', '--region', 'us-west-2'], given)).code).toBe(0);
    const other = await cli.deploy(['table', '--region', 'us-east-1'], given);
    expect(other.said).toBe('keyfold-table is in us-west-2, and not in us-east-1\n');
    expect(namesOf(other)).not.toContain('cloudformation create-change-set');
  });

  it.for(['keys', 'table', 'roles', 'app'])('refuses a region that deploy.yml does not list (%s)', async (stack) => {
    const outcome = await cli.deploy([stack, '--yes', '--region', 'eu-west-1'], ABSENT);
    expect(outcome.code).toBe(1);
    expect(outcome.said).toBe('eu-west-1 is not among the regions of the deployment: us-west-2, us-east-1\n');
    expect(outcome.calls).toEqual([]);
  });
});

describe('a deploy script with --yes', () => {
  it('executes the change sets, waits for them, and turns on termination protection for the key stack', async () => {
    const outcome = await cli.deploy(['keys', '--yes'], { ...ABSENT, ...changes(['Add', 'AWS::KMS::Key']) });
    expect(outcome.code).toBe(0);
    const done = outcome.calls.filter(({ name }) => /execute|termination/.test(name));
    expect(done.map(({ name, args }) => `${name} ${args[args.indexOf('--region') + 1]}`)).toEqual([
      'cloudformation execute-change-set us-west-2',
      'cloudformation update-termination-protection us-west-2',
      'cloudformation execute-change-set us-east-1',
      'cloudformation update-termination-protection us-east-1',
    ]);
  });

  it.for([
    ['keys', 'the key or its alias', ['Key', 'Alias']],
    ['table', 'the table', ['Table']],
  ] as const)('forbids every later update of the %s stack to replace or delete %s', async ([what, , kept]) => {
    const changed = changes(['Add', 'AWS::KMS::Key']);
    const outcome = await cli.deploy([what, '--yes'], { ...ABSENT, ...changed }, { regions: ['us-west-2'] });
    const [body] = optionOf(outcome, 'set-stack-policy', '--stack-policy-body');
    const { Statement } = JSON.parse(String(body)) as { Statement: object[] };
    expect(Statement).toEqual([
      { Effect: 'Allow', Action: 'Update:*', Principal: '*', Resource: '*' },
      {
        Effect: 'Deny',
        Action: ['Update:Replace', 'Update:Delete'],
        Principal: '*',
        Resource: kept.map((id) => `LogicalResourceId/${id}`),
      },
    ]);
    // Check that these resources exist. CloudFormation accepts a stack policy that names no existing resource, so a
    // misspelt name would protect nothing.
    expect(Object.keys(templateOf(what).Resources)).toEqual(expect.arrayContaining([...kept]));
  });

  const unchanged = {
    'cloudformation describe-change-set': {
      Status: 'FAILED',
      StatusReason: "The submitted information didn't contain changes.",
      Changes: [],
    },
  };

  it('turns on termination protection even for an unchanged stack, because an earlier run may have stopped before that step', async () => {
    const there = stackIn('CREATE_COMPLETE', ['ReplicaRegion1', 'us-east-1']);
    const outcome = await cli.deploy(['table', '--yes'], { ...there, ...unchanged });
    expect(outcome).toMatchObject({ code: 0, said: 'keyfold-table in us-west-2: nothing to change\n' });
    expect(namesOf(outcome)).not.toContain('cloudformation execute-change-set');
    expect(namesOf(outcome).slice(-2)).toEqual([
      'cloudformation update-termination-protection',
      'cloudformation set-stack-policy',
    ]);
  });

  it('does not turn on termination protection for the stack of the roles, because a later run can create the roles again', async () => {
    const outcome = await cli.deploy(['roles', '--yes'], { ...ABSENT, ...changes(['Add', 'AWS::IAM::Role']) });
    expect(outcome.code).toBe(0);
    expect(namesOf(outcome)).not.toContain('cloudformation update-termination-protection');
  });

  it.for([
    ['removes', 'AWS::KMS::Key', 'Remove', undefined],
    ['replaces', 'AWS::KMS::Key', 'Modify', 'True'],
    ['may replace', 'AWS::KMS::Alias', 'Modify', 'Conditional'],
    ['removes', 'AWS::KMS::Alias', 'Remove', undefined],
    ['replaces', 'AWS::DynamoDB::GlobalTable', 'Modify', 'True'],
    ['removes', 'AWS::DynamoDB::GlobalTable', 'Remove', undefined],
  ] as const)('refuses a change that %s an %s', async ([, type, action, replacement]) => {
    const set = changes(
      ['Modify', 'AWS::SNS::Topic', 'True'],
      replacement === undefined ? [action, type] : [action, type, replacement],
    );
    const outcome = await cli.deploy(['keys', '--yes'], { ...ABSENT, ...set });
    expect(outcome.code).toBe(1);
    const how =
      replacement === undefined ? '' : { True: ', by a new one', Conditional: ', maybe by a new one' }[replacement];
    expect(outcome.said).toBe(
      `keyfold-keys in us-west-2 is refused: ${action} It (${type})${how}. docs/how-to/replace-a-kms-key.md says how keys are replaced.\n`,
    );
    expect(namesOf(outcome)).not.toContain('cloudformation execute-change-set');
    expect(namesOf(outcome).at(-1)).toBe('cloudformation delete-change-set');
  });

  it('refuses to remove a replica of the table, although CloudFormation reports this as a modification', async () => {
    const Parameters = [{ ParameterKey: 'ReplicaRegion1', ParameterValue: 'eu-west-1' }];
    const there = { 'cloudformation describe-stacks': { Stacks: [{ StackStatus: 'CREATE_COMPLETE', Parameters }] } };
    const outcome = await cli.deploy(['table', '--yes'], {
      ...there,
      ...changes(['Modify', 'AWS::DynamoDB::GlobalTable', 'False']),
    });
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.said).toContain("take away the table's replica in eu-west-1");
    expect(namesOf(outcome)).not.toContain('cloudformation create-change-set');
  });

  it.for(['ReplicaRegion1', 'ReplicaRegion2', 'ReplicaRegion3'])(
    'refuses to remove the replica that the parameter %s names',
    async (name) => {
      const there = stackIn('CREATE_COMPLETE', ['TableName', 'EncryptionKey'], [name, 'eu-west-1']);
      const outcome = await cli.deploy(['table', '--yes'], { ...there, ...changes() });
      expect(outcome.said).toContain("keyfold-table is refused: it would take away the table's replica in eu-west-1\n");
    },
  );

  it('accepts an empty parameter, and a replica region that moves to another parameter', async () => {
    const there = stackIn(
      'CREATE_COMPLETE',
      ['TableName', 'EncryptionKey'],
      ['ReplicaRegion1', ''],
      ['ReplicaRegion3', 'us-east-1'],
    );
    const outcome = await cli.deploy(['table', '--yes'], { ...there, ...changes() });
    expect(outcome).toMatchObject({ code: 0 });
    expect(parametersOf(outcome)[0]).toMatchObject({ ReplicaRegion1: 'us-east-1', ReplicaRegion3: '' });
  });

  it('accepts a new replica in the last free parameter', async () => {
    const there = stackIn('CREATE_COMPLETE', ['TableName', 'EncryptionKey'], ['ReplicaRegion3', '']);
    const regions = { regions: ['us-west-2', 'us-east-1', 'eu-west-1', 'eu-north-1'] };
    const outcome = await cli.deploy(['table', '--yes'], { ...there, ...changes() }, regions);
    expect(outcome).toMatchObject({ code: 0 });
    expect(parametersOf(outcome)[0]).toMatchObject({ ReplicaRegion3: 'eu-north-1' });
  });
});

describe('deploy table with replicas', () => {
  const policies = { ReplicaPolicy1: 'true', ReplicaPolicy2: 'true', ReplicaPolicy3: 'true' };
  const regions = ['us-west-2', 'us-east-1', 'eu-west-1'];

  it.for([
    ['a new table', ABSENT, { ReplicaPolicy1: 'false', ReplicaPolicy2: 'false' }],
    [
      'after a failed creation',
      stackIn('REVIEW_IN_PROGRESS', ['ReplicaRegion1', 'us-east-1'], ['ReplicaRegion2', 'eu-west-1']),
      { ReplicaPolicy1: 'false', ReplicaPolicy2: 'false' },
    ],
    ['an existing table', stackIn('UPDATE_COMPLETE', ['ReplicaRegion1', 'us-east-1']), { ReplicaPolicy2: 'false' }],
  ] as const)(
    'creates a replica in one update and its policy in the next, as CloudFormation requires (%s)',
    async ([, there, first]) => {
      const outcome = await cli.deploy(['table', '--yes'], { ...there, ...changes() }, { regions });
      expect(outcome).toMatchObject({ code: 0 });
      expect(parametersOf(outcome)).toMatchObject([{ ...policies, ...first }, policies]);
    },
  );

  it('without --yes, plans replicas and policies in one update', async () => {
    const outcome = await cli.deploy(['table'], { ...ABSENT, ...changes() }, { regions });
    expect(parametersOf(outcome)).toMatchObject([policies]);
  });

  it('makes only one update if all replicas exist', async () => {
    const there = stackIn('UPDATE_COMPLETE', ['ReplicaRegion1', 'us-east-1'], ['ReplicaRegion2', 'eu-west-1']);
    const outcome = await cli.deploy(['table', '--yes'], { ...there, ...changes() }, { regions });
    expect(parametersOf(outcome)).toMatchObject([policies]);
  });
});

describe('a failure in CloudFormation', () => {
  const planned = changes(['Add', 'AWS::KMS::Key']);
  const FAILED = 'Waiter StackCreateComplete failed: matched expected path: "ROLLBACK_COMPLETE"';

  it('is reported with the first failure event, and the next region stays unchanged', async () => {
    const outcome = await cli.deploy(['keys', '--yes'], {
      ...ABSENT,
      ...planned,
      'stack-create-complete': FAILED,
      'cloudformation describe-stack-events': {
        StackEvents: [
          event('keyfold-keys', 'ROLLBACK_COMPLETE'),
          event('AlarmTopic', 'CREATE_FAILED', 'Resource creation cancelled'),
          event(
            'Key',
            'CREATE_FAILED',
            'The new key policy will not allow you to update the key policy in the future.',
          ),
          event('Key', 'CREATE_IN_PROGRESS'),
          event('Key', 'UPDATE_FAILED', 'long ago', 'keyfold-1'),
        ],
      },
    });
    expect(outcome.code).toBe(1);
    expect(outcome.said.split('\n').slice(2)).toEqual([
      'keyfold-keys in us-west-2 failed: Key: The new key policy will not allow you to update the key policy in the future.',
      '',
    ]);
    expect(outcome.cause).toMatchObject({ message: `aws cloudformation wait in us-west-2 failed: ${FAILED}` });
  });

  it.for([
    ['no event is a failure', { StackEvents: [] }],
    ['the events cannot be read', 'ExpiredToken: the credentials have expired'],
  ] as const)("is reported with the CLI's error if %s", async ([, events]) => {
    const answers = { ...ABSENT, ...planned, 'stack-create-complete': FAILED };
    const outcome = await cli.deploy(['keys', '--yes'], {
      ...answers,
      'cloudformation describe-stack-events': events,
    });
    const said = `aws cloudformation wait in us-west-2 failed: ${FAILED}`;
    expect(outcome).toMatchObject({ code: 1, cause: { message: said, cause: { code: 254, stderr: FAILED } } });
    expect(outcome.said).toBe(
      `keyfold-keys in us-west-2:\n  Add It (AWS::KMS::Key)\nkeyfold-keys in us-west-2 failed: ${said}\n`,
    );
  });

  it('ends the script at once', async () => {
    const refusal = { 'cloudformation execute-change-set': 'AccessDenied: not authorized' };
    const outcome = await cli.deploy(['keys', '--yes'], { ...ABSENT, ...planned, ...refusal });
    expect(outcome.code).toBe(1);
    expect(outcome.said).toContain('execute-change-set in us-west-2 failed: AccessDenied: not authorized');
    expect(namesOf(outcome).at(-1)).toBe('cloudformation execute-change-set');
  });

  const StackId = 'arn:aws:cloudformation:us-west-2:111122223333:stack/keyfold-table/1';

  /**
   * The responses for a stack with the given status. For each of the other given statuses, the stack still has one
   * resource with that status.
   */
  function unmade(StackStatus: string, ...ResourceStatuses: string[]): Answers {
    const left = ResourceStatuses.map((ResourceStatus, i) => ({ LogicalResourceId: `It${i}`, ResourceStatus }));
    return {
      'cloudformation describe-stacks': { Stacks: [{ StackId, StackStatus }] },
      'cloudformation list-stack-resources': { StackResourceSummaries: left },
      'cloudformation get-template': { TemplateBody: { Resources: {} } },
      ...planned,
    };
  }

  it('leaves a rolled-back stack, which the next run deletes and creates again', async () => {
    const outcome = await cli.deploy(['roles', '--yes'], unmade('ROLLBACK_COMPLETE', 'DELETE_COMPLETE'), {
      regions: ['us-west-2'],
    });
    expect(outcome.code).toBe(0);
    expect(outcome.said).toContain('keyfold-roles in us-west-2: could not be made, is empty, and is deleted first\n');
    expect(namesOf(outcome).slice(2, 7)).toEqual([
      'cloudformation describe-stacks',
      'cloudformation list-stack-resources',
      'cloudformation delete-stack',
      'cloudformation wait',
      'cloudformation create-change-set',
    ]);
    const [deletion, making] = ['delete-stack', 'create-change-set'].map(
      (command) => outcome.calls.find(({ name }) => name.endsWith(command))?.args ?? [],
    );
    expect(deletion).toContain(StackId);
    // CloudFormation finds a deleted stack only by its id.
    expect(outcome.calls.find(({ name }) => name === 'cloudformation wait')?.args.slice(5)).toEqual([
      'stack-delete-complete',
      '--stack-name',
      StackId,
    ]);
    expect(making?.[making.indexOf('--change-set-type') + 1]).toBe('CREATE');
  });

  it('leaves a rolled-back stack, which a run without --yes only reports', async () => {
    const outcome = await cli.deploy(['roles'], unmade('ROLLBACK_COMPLETE', 'DELETE_COMPLETE'));
    expect(outcome.code).toBe(1);
    expect(outcome.said).toContain(
      'keyfold-roles in us-west-2 could not be made, and is empty: --yes deletes it first',
    );
    expect(namesOf(outcome)).not.toContain('cloudformation delete-stack');
  });

  it.for(['DELETE_SKIPPED', 'DELETE_FAILED', 'CREATE_COMPLETE'])(
    'leaves a rolled-back stack, which deploy does not delete if the stack still has a resource in the state %s',
    async (status) => {
      const outcome = await cli.deploy(['keys', '--yes'], unmade('ROLLBACK_COMPLETE', 'DELETE_COMPLETE', status));
      expect(outcome.code).toBe(1);
      expect(outcome.said).toContain(
        'keyfold-keys in us-west-2 could not be made, and has left It1: see docs/how-to/recover-a-deployment.md',
      );
      expect(namesOf(outcome)).not.toContain('cloudformation delete-stack');
    },
  );

  it.for(['keys', 'table', 'roles'])(
    'leaves a stack whose rollback failed, and the next run of deploy:%s names the resources that still exist',
    async (stack) => {
      const outcome = await cli.deploy([stack, '--yes'], unmade('ROLLBACK_FAILED', 'DELETE_COMPLETE', 'DELETE_FAILED'));
      expect(outcome.said).toContain(`keyfold-${stack} in us-west-2 could not be made, and has left It1: `);
      expect(namesOf(outcome)).not.toContain('cloudformation create-change-set');
    },
  );

  it.for(['ROLLBACK_COMPLETE', 'ROLLBACK_FAILED', 'REVIEW_IN_PROGRESS'])(
    'leaves an empty app stack in the state %s, which the next run deletes',
    async (state) => {
      const given = {
        'cloudformation get-template': {},
        'osls package': { Resources: {} },
        'osls deploy': {},
        'lambda invoke': invoked({ systemKeys: [], createFault: 'it' }),
      };
      const deployment = { prefix: 'stand-in', regions: ['us-west-2'] };
      const empty = await cli.deploy(['app', '--yes'], { ...unmade(state), ...given }, deployment);
      expect(empty.said).toContain('stand-in-app in us-west-2: could not be made, is empty, and is deleted first\n');
      expect(namesOf(empty).filter((name) => /delete-stack|deploy/.test(name))).toEqual([
        'cloudformation delete-stack',
        'osls deploy',
      ]);
      const left = await cli.deploy(['app', '--yes'], { ...unmade(state, 'DELETE_SKIPPED'), ...given }, deployment);
      expect(left.said).toContain('stand-in-app in us-west-2 could not be made, and has left It0');
      expect(namesOf(left)).not.toContain('osls deploy');
      await rm(packageFolder({ prefix: 'stand-in' }, '.'), { recursive: true });
    },
  );

  it('never leads to a second table, because the region of the existing table must stay the first in deploy.yml', async () => {
    const outcome = await cli.deploy(
      ['table', '--yes'],
      {
        ...planned,
        'cloudformation describe-stacks': [
          'Stack with id keyfold-table does not exist',
          { Stacks: [{ StackId, StackStatus: 'CREATE_COMPLETE' }] },
        ],
      },
      { regions: ['us-east-1', 'us-west-2'] },
    );
    expect(outcome.code).toBe(1);
    expect(outcome.said).toContain('keyfold-table is in us-west-2: that must stay the first of the regions');
    expect(namesOf(outcome)).not.toContain('cloudformation create-change-set');
  });
});

describe('version 1 of the AWS CLI', () => {
  const fails = { 'sts get-caller-identity': 'Unknown options: --no-cli-pager' };

  it.for(['keys', 'table', 'roles', 'app'])('is named as the cause if "deploy %s" fails', async (stack) => {
    const outcome = await cli.deploy([stack], fails, {}, { CLI_VERSION: '1.42.9' });
    expect(outcome.code).toBe(1);
    expect(outcome.said).toBe('this needs version 2 of the AWS CLI, and the aws on the PATH is version 1.42.9\n');
    expect(outcome.cause).toMatchObject({ code: 254, stderr: 'Unknown options: --no-cli-pager' });
  });

  it('is recognised by its error output', async () => {
    const outcome = await cli.deployInProcess(['keys'], fails, {}, { CLI_VERSION: '1.18.69', CLI_VERSION_TO: '2' });
    expect(outcome.said).toContain('the aws on the PATH is version 1.18.69');
  });

  it('is not mentioned if no AWS CLI is installed', async () => {
    const outcome = await cli.deployInProcess(['keys'], {}, {}, { PATH: '/nowhere' });
    expect(outcome).toMatchObject({ code: 1, said: 'the AWS CLI (aws) is not installed\n' });
    const here = await cli.deploy(['keys'], {}, {}, { PATH: '/nowhere' });
    expect(here).toMatchObject({ code: 1, said: outcome.said, cause: { code: 'ENOENT' } });
  });

  it.for(['2.31.0', '10.0.0'])('is not given as the reason if version %s refuses a command', async (CLI_VERSION) => {
    const outcome = await cli.deploy(['keys'], fails, {}, { CLI_VERSION });
    expect(outcome.code).toBe(1);
    expect(outcome.said).toContain('Unknown options');
    expect(outcome.said).not.toContain('version');
  });
});

describe('npm run deploy -- --yes', () => {
  const prefix = 'stand-in';
  const NONE = { ...ABSENT, 'cloudformation get-template': { TemplateBody: { Resources: {} } } };
  const OSLS = { 'osls package': { Resources: { It: { Type: 'AWS::SNS::Topic' } } }, 'osls deploy': {} };
  const key = { id: '_SK_orders_shop_us-west-2', created: 1_790_000_000, state: 'valid' };
  const well = ['us-west-2', 'us-east-1'].map((region) => ({ region, opens: true, renewed: false }));
  const made = invoked({ systemKeys: [], created: { id: key.id, created: key.created } });
  const deploy = (...invoke: object[]): Promise<Outcome> =>
    cli.deploy(
      ['app', '--yes'],
      { ...NONE, ...OSLS, 'lambda invoke': invoke },
      { prefix, regions: ['us-west-2', 'us-east-1'] },
    );
  afterEach(() => rm(packageFolder({ prefix }, '.'), { recursive: true, force: true }));

  it('deploys the app, and succeeds once every region can unwrap every System Key, old and new', async () => {
    const opened = invoked({ systemKeys: [{ ...key, regions: well }] });
    const outcome = await deploy(made, opened);
    expect(outcome.said).toContain('stand-in-app in us-west-2: done');
    expect(outcome.said).toContain('stand-in-app in us-east-1: done');
    expect(outcome.code).toBe(0);
    expect(namesOf(outcome).filter((name) => /osls|lambda/.test(name))).toEqual([
      'osls package',
      'osls deploy',
      'lambda invoke',
      'lambda invoke',
      'osls package',
      'osls deploy',
      'lambda invoke',
    ]);
    for (const { args } of outcome.calls.filter(({ name }) => name === 'lambda invoke')) {
      expect(args).toContain('stand-in-maintenance');
      // Maintenance may run longer than one minute, which is the CLI's default timeout.
      expect(args.join(' ')).toContain('--cli-read-timeout 0');
    }
  });

  it('deploys the app only in the region that --region names', async () => {
    const opened = invoked({ systemKeys: [{ ...key, regions: well }] });
    const args = ['app', '--yes', '--region', 'us-east-1'];
    const given = { ...NONE, ...OSLS, 'lambda invoke': [opened] };
    const outcome = await cli.deploy(args, given, { prefix, regions: ['us-west-2', 'us-east-1'] });
    expect(outcome.code).toBe(0);
    expect(outcome.said).toContain('stand-in-app in us-east-1: done');
    expect(outcome.said).not.toContain('in us-west-2');
    expect(namesOf(outcome).filter((name) => /osls|lambda/.test(name))).toEqual([
      'osls package',
      'osls deploy',
      'lambda invoke',
    ]);
  });

  it('runs the maintenance again if its first run found no System Key, because another region may have made a key', async () => {
    const opened = invoked({ systemKeys: [{ ...key, regions: well }] });
    expect(await deploy(invoked({ systemKeys: [] }), opened)).toMatchObject({ code: 0 });
  });

  it('runs the maintenance again if the first run made a System Key, even if other System Keys existed', async () => {
    const older = { ...key, created: 1_780_000_000, regions: well };
    const made2 = invoked({ systemKeys: [older], created: { id: key.id, created: key.created } });
    const unopened = { ...key, regions: [well[0], { region: 'us-east-1', opens: false, fault: 'AccessDenied' }] };
    const outcome = await deploy(made2, invoked({ systemKeys: [unopened, older] }));
    expect(outcome.code).toBe(1);
    expect(outcome.said).toContain(
      `- ${key.id}, created ${key.created}: us-east-1 does not open or wrap it (AccessDenied)\n`,
    );
  });

  it.for([
    [
      'a System Key cannot be made',
      { systemKeys: [], createFault: 'KmsMisconfigured: no region' },
      'the next System Key cannot be made: KmsMisconfigured: no region\n- there is no System Key\n',
    ],
    ['there is no System Key', { systemKeys: [] }, 'there is no System Key'],
    [
      'a System Key cannot be read',
      { systemKeys: [{ ...key, regions: [], fault: 'MetastoreUnavailable: it' }] },
      `${key.id}, created ${key.created}: MetastoreUnavailable: it\n`,
    ],
    [
      'a region does not open a System Key',
      { systemKeys: [{ ...key, regions: [well[0], { region: 'us-east-1', opens: false, fault: 'AccessDenied' }] }] },
      'us-east-1 does not open or wrap it (AccessDenied)',
    ],
    [
      'a region opens a System Key but no longer wraps it',
      { systemKeys: [{ ...key, regions: [well[0], { region: 'us-east-1', opens: true, fault: 'AccessDenied' }] }] },
      'us-east-1 does not open or wrap it (AccessDenied)',
    ],
    [
      'a region has not wrapped a System Key',
      { systemKeys: [{ ...key, regions: [well[0], { region: 'us-east-1', opens: false }] }] },
      'us-east-1 does not open or wrap it (it has no wrap)',
    ],
  ] as const)('fails and leaves the next region unchanged if %s', async ([, report, said]) => {
    const outcome = await deploy(made, invoked(report));
    expect(outcome.code).toBe(1);
    const [, faults, next] = outcome.said.split(/^(?=the app)|^(?=KMS heeds)/m);
    expect(faults).toMatch(/^the app is deployed in us-west-2, but stand-in-maintenance finds:\n- /);
    expect(faults).toContain(said);
    expect(next).toBe(
      'KMS heeds a new alias within five minutes. After that the keys, the table or the roles are wrong; then run the same again.\n',
    );
    expect(outcome.said).not.toContain(': done');
    expect(namesOf(outcome).filter((name) => name === 'osls deploy')).toHaveLength(1);
  });

  it("passes the CLI's verified credentials to osls, and shows the output of osls", async () => {
    const outcome = await cli.deployInProcess(
      ['app', '--yes'],
      { ...NONE, ...OSLS },
      { prefix, regions: ['us-west-2'] },
      { AWS_PROFILE: 'another', AWS_ACCESS_KEY_ID: 'ANOTHER', 'AWS_STAND-IN_PROFILE': 'another' },
    );
    expect(outcome.said).toContain('osls deploy\n');
    const { args = [] } = outcome.calls.find(({ name }) => name === 'osls deploy') ?? {};
    expect(args).toContain('AWS_ACCESS_KEY_ID=EXPORTED');
    expect(args).toContain('AWS_SECRET_ACCESS_KEY=not-a-secret');
    expect(args).toContain('AWS_SESSION_TOKEN=session');
    const folder = packageFolder({ prefix }, 'us-west-2');
    expect(args.slice(0, 4)).toEqual(['--package', folder, '--region', 'us-west-2']);
    expect(folder.endsWith(join(prefix, 'us-west-2'))).toBe(true);
    // These settings stop osls from fetching notifications, and make it fail if its configuration is invalid.
    expect(args).toContain('SLS_NOTIFICATIONS_MODE=off');
    expect(args).toContain('OSLS_VALIDATION=error');
    expect(args.filter((arg) => /another|PROFILE/i.test(arg))).toEqual([]);
  });

  it('passes no session token to osls if the verified credentials lack a session token', async () => {
    const outcome = await cli.deploy(
      ['app', '--yes'],
      {
        ...NONE,
        ...OSLS,
        'configure export-credentials': { AccessKeyId: 'EXPORTED', SecretAccessKey: 'not-a-secret' },
        'lambda invoke': invoked({ systemKeys: [{ ...key, regions: well }] }),
      },
      { prefix, regions: ['us-west-2'] },
      { AWS_SESSION_TOKEN: 'another', AWS_SECRET_ACCESS_KEY: 'another' },
    );
    const { args = [] } = outcome.calls.find(({ name }) => name === 'osls deploy') ?? {};
    expect(args.filter((arg) => arg.startsWith('AWS_')).toSorted()).toEqual(
      expect.arrayContaining(['AWS_ACCESS_KEY_ID=EXPORTED', 'AWS_SECRET_ACCESS_KEY=not-a-secret']),
    );
    expect(args.filter((arg) => /another|SESSION_TOKEN/.test(arg))).toEqual([]);
  });

  it('fails if osls fails, and does not run the maintenance', async () => {
    const outcome = await cli.deployInProcess(
      ['app', '--yes'],
      { ...NONE, ...OSLS, 'osls deploy': 'UPDATE_FAILED: InputQueue' },
      { prefix, regions: ['us-west-2'] },
    );
    expect(outcome.code).toBe(1);
    expect(outcome.said).toContain('UPDATE_FAILED: InputQueue');
    expect(outcome.said).toContain('osls deploy failed in us-west-2');
    expect(namesOf(outcome)).not.toContain('lambda invoke');
  });

  it('fails with the output of osls if osls cannot package the app, and calls nothing else', async () => {
    const fails = { ...NONE, ...OSLS, 'osls package': 'Invalid configuration: it' };
    const outcome = await cli.deploy(['app', '--yes'], fails, { prefix, regions: ['us-west-2'] });
    expect(outcome).toMatchObject({
      code: 1,
      said: 'osls package failed:\nInvalid configuration: it\n',
      cause: { code: 1, stderr: 'Invalid configuration: it' },
    });
    expect(namesOf(outcome)).toEqual(['sts get-caller-identity', 'osls package']);
  });

  it('fails if maintenance fails', async () => {
    const outcome = await deploy(invoked({ errorType: 'InvalidConfiguration' }, { FunctionError: 'Unhandled' }));
    expect(outcome.code).toBe(1);
    expect(outcome.said).toContain('stand-in-maintenance fails in us-west-2: {"errorType":"InvalidConfiguration"}');
  });
});

/** The template of the deployed app. If a name is given, the template contains an input queue with this name. */
function app(QueueName?: string): Answers {
  const InputQueue = { Type: 'AWS::SQS::Queue', Properties: { QueueName } };
  const Resources = QueueName === undefined ? {} : { InputQueue };
  return { 'cloudformation get-template': { TemplateBody: { Resources } } };
}

/** A function with its code in this folder. */
function withCode(folder: string, MemorySize: number, bucket = 'Bucket'): object {
  const Code = { S3Bucket: { Ref: bucket }, S3Key: `serverless/${folder}/seal.zip` };
  return { Type: 'AWS::Lambda::Function', Properties: { Code, MemorySize } };
}

function topicWith(Properties: object): object {
  return { Type: 'AWS::SNS::Topic', Properties };
}

describe('npm run deploy without --yes', () => {
  const prefix = 'stand-in';
  afterEach(() => rm(packageFolder({ prefix }, '.'), { recursive: true, force: true }));

  it('lists the properties that change, but omits the new location of the code', async () => {
    const before = {
      Seal: withCode('yesterday', 1024),
      Open: withCode('yesterday', 1024),
      Moved: withCode('yesterday', 1024, 'Other'),
      Topic: topicWith({ DisplayName: 'It', KmsMasterKeyId: 'it' }),
      Kept: { Type: 'A::B::C' },
    };
    const after = {
      Seal: withCode('today', 1024),
      Open: withCode('today', 512),
      Moved: withCode('today', 1024),
      Topic: topicWith({ DisplayName: 'It', FifoTopic: true }),
      Kept: { Type: 'A::B::C', DeletionPolicy: 'Retain' },
    };
    const outcome = await cli.deploy(
      ['app'],
      {
        ...ABSENT,
        'cloudformation get-template': { TemplateBody: { Resources: before } },
        'osls package': { Resources: after },
      },
      { prefix, regions: ['us-west-2'] },
    );
    expect(outcome.said.split('\n').slice(0, 6)).toEqual([
      "stand-in-app in us-west-2: beside the functions' code",
      '  Modify Open (AWS::Lambda::Function): MemorySize',
      '  Modify Moved (AWS::Lambda::Function): Code',
      '  Modify Topic (AWS::SNS::Topic): KmsMasterKeyId, FifoTopic',
      '  Modify Kept (A::B::C): DeletionPolicy',
      'Nothing was changed. The same with -- --yes does it.',
    ]);
  });
});

describe('queue.kind', () => {
  const prefix = 'stand-in';
  afterEach(() => rm(packageFolder({ prefix }, '.'), { recursive: true, force: true }));
  const given = { ...ABSENT, ...changes(['Modify', 'AWS::IAM::Role']) };
  const deploy = (what: string, deployed: Answers, kind: string): Promise<Outcome> =>
    cli.deploy(
      [what, '--yes'],
      { ...given, ...deployed, 'osls package': { Resources: {} }, 'osls deploy': {} },
      { prefix, queue: { kind } },
    );

  it.for([
    ['roles', 'stand-in-input', 'fifo'],
    ['roles', 'stand-in-input.fifo', 'standard'],
    ['app', 'stand-in-input', 'fifo'],
  ] as const)(
    'makes "deploy %s" fail if the queue %s exists and the new kind is %s, because messages would be left behind',
    async ([what, queue, kind]) => {
      const outcome = await deploy(what, app(queue), kind);
      expect(outcome.code).toBe(1);
      const why = 'to change queue.kind see docs/reference/iam-and-stacks.md';
      expect(outcome.said).toContain(`the app in us-west-2 has the queue ${queue}: ${why}\n`);
      expect(namesOf(outcome).some((name) => /create-change-set|osls deploy/.test(name))).toBe(false);
    },
  );

  it('can change to "none" only if the app is deployed before the roles', async () => {
    const early = await deploy('roles', app('stand-in-input'), 'none');
    expect(early.code).toBe(1);
    expect(early.said).toContain('the app in us-west-2 has the queue stand-in-input: run deploy before deploy:roles');
    const removal = await deploy('app', app('stand-in-input'), 'none');
    expect(removal.said).toContain('Remove InputQueue (AWS::SQS::Queue)');
    expect(namesOf(removal)).toContain('osls deploy');
    expect(await deploy('roles', app(), 'none')).toMatchObject({ code: 0 });
  });

  it('can stay the same, and can be set for a new queue', async () => {
    expect(await deploy('roles', app('stand-in-input'), 'standard')).toMatchObject({ code: 0 });
    expect(await deploy('roles', app(), 'fifo')).toMatchObject({ code: 0 });
    expect(namesOf(await deploy('app', app('stand-in-input'), 'standard'))).toContain('osls deploy');
  });
});

it('deploy roles refuses to take away the rights to network interfaces while the deployed app is in a VPC', async () => {
  const inVpc = { ApiLambdaFunction: { Type: 'AWS::Lambda::Function', Properties: { VpcConfig: {} } } };
  const deployed = { 'cloudformation get-template': { TemplateBody: { Resources: inVpc } } };
  const given = { ...ABSENT, ...changes(['Modify', 'AWS::IAM::Role']), ...deployed };
  const early = await cli.deploy(['roles', '--yes'], given);
  expect(early).toMatchObject({ code: 1 });
  expect(early.said).toContain('the app in us-west-2 is in a VPC: run deploy before deploy:roles');
  const kept = await cli.deploy(['roles', '--yes'], given, { vpc: VPC });
  expect(kept).toMatchObject({ code: 0 });
  expect(parametersOf(kept)).toMatchObject([{ InVpc: 'true' }, { InVpc: 'true' }]);
});

/** The description of the roles stack in a region. */
function rolesIn(region: string): object {
  return {
    Stacks: [
      {
        StackStatus: 'UPDATE_COMPLETE',
        Outputs: ['Api', 'Open'].map((name) => ({
          OutputKey: `${name}RoleArn`,
          OutputValue: `arn:aws:iam::111122223333:role/${region}-${name}`,
        })),
      },
    ],
  };
}

describe('the stack parameters', () => {
  it('come from deploy.yml, and only the first region creates the policies', async () => {
    const [west, east] = parametersOf(await cli.deploy(['keys'], { ...ABSENT, ...changes() }));
    const both = {
      Name: 'keyfold',
      Classification: 'confidential',
      AdministratorArns: 'arn:aws:iam::111122223333:role/key-administrator',
      AlarmEmail: 'security@example.com',
      AlarmTopicArn: '',
      IamDecides: 'true',
      TopicKeyArn: '',
    };
    expect(west).toEqual({ ...both, KeyRegions: 'us-west-2,us-east-1' });
    expect(east).toEqual(both);
  });

  it("include the alarm email address and the region's alarm topic", async () => {
    const alarmTopics = {
      'us-west-2': 'arn:aws:sns:us-west-2:111122223333:oncall',
      'us-east-1': 'arn:aws:sns:us-east-1:111122223333:oncall',
    };
    const given = { ...ABSENT, ...changes() };
    const [, moved] = parametersOf(await cli.deploy(['keys'], given, { alarmEmail: undefined, alarmTopics }));
    expect(moved).toMatchObject({ AlarmEmail: '', AlarmTopicArn: alarmTopics['us-east-1'] });
    const [both] = parametersOf(await cli.deploy(['keys'], given, { alarmTopics }));
    expect(both).toMatchObject({ AlarmTopicArn: alarmTopics['us-west-2'] });
  });

  it('that deploy.yml does not set, such as the key behind an alias, keep their previous values', async () => {
    const Parameters = ['Name', 'AliasTargetArn', 'KeyStanding', 'Gone'].map((ParameterKey) => ({
      ParameterKey,
      ParameterValue: 'x',
    }));
    const there = { 'cloudformation describe-stacks': { Stacks: [{ StackStatus: 'UPDATE_COMPLETE', Parameters }] } };
    const [west] = parametersOf(await cli.deploy(['keys'], { ...there, ...changes() }));
    expect(west).toMatchObject({
      Name: 'keyfold',
      AliasTargetArn: { UsePreviousValue: true },
      KeyStanding: { UsePreviousValue: true },
    });
    expect(west).not.toHaveProperty('Gone');
  });

  it("name the functions' roles in all regions if strictKeys is set, and the script names each region that has no roles yet", async () => {
    const strict = {
      administrators: [ADMINISTRATOR, 'arn:aws:iam::111122223333:role/second-administrator'],
      strictKeys: { decrypt: ['arn:aws:iam::444455556666:root'], grant: ['arn:aws:iam::111122223333:role/granter'] },
    };
    const absent = 'Stack with id keyfold-roles does not exist';
    const deploy = (...stacks: unknown[]): Promise<Outcome> =>
      cli.deploy(['keys'], { 'cloudformation describe-stacks': [...stacks, absent], ...changes() }, strict);
    const outcome = await deploy(rolesIn('west'), rolesIn('east'));
    const named = {
      IamDecides: 'false',
      EncryptingPrincipalArns: 'arn:aws:iam::111122223333:role/west-Api,arn:aws:iam::111122223333:role/east-Api',
      DecryptingPrincipalArns: [
        'arn:aws:iam::111122223333:role/west-Api',
        'arn:aws:iam::111122223333:role/west-Open',
        'arn:aws:iam::111122223333:role/east-Api',
        'arn:aws:iam::111122223333:role/east-Open',
        'arn:aws:iam::444455556666:root',
      ].join(','),
      GrantingPrincipalArns: 'arn:aws:iam::111122223333:role/granter',
    };
    expect(parametersOf(outcome)).toMatchObject([named, named]);
    expect(outcome.said).not.toContain('deploy:keys again');
    const first = await deploy();
    expect(parametersOf(first)[0]).toMatchObject({ IamDecides: 'false', EncryptingPrincipalArns: '' });
    expect(first.said).toContain('keyfold-roles is not in us-west-2 yet: run deploy:keys again after deploy:roles');
  });

  it("tell the roles stack the names of the app's resources", async () => {
    const [west] = parametersOf(
      await cli.deploy(['roles'], { ...ABSENT, ...changes() }, { queue: { kind: 'fifo' }, tracing: true }),
    );
    expect(west).toEqual({
      FunctionPrefix: 'keyfold',
      KeyName: 'keyfold',
      KeyRegions: 'us-west-2,us-east-1',
      TableName: 'EncryptionKey',
      TableKeyName: '',
      InputQueueName: 'keyfold-input.fifo',
      OutputQueueName: 'keyfold-output.fifo',
      DeadLetterQueueName: 'keyfold-dead-letters.fifo',
      Tracing: 'true',
      InVpc: 'false',
      Service: 'orders',
      Product: 'shop',
      PermissionsBoundaryArn: '',
    });
    const permissionsBoundary = 'arn:aws:iam::111122223333:policy/bounds';
    const [bound] = parametersOf(await cli.deploy(['roles'], { ...ABSENT, ...changes() }, { permissionsBoundary }));
    expect(bound).toMatchObject({ PermissionsBoundaryArn: permissionsBoundary });
  });

  it('contain the key and table names from deploy.yml', async () => {
    const named = {
      prefix: 'trial',
      keyName: 'orders',
      tableName: 'Keys',
      tableKeyName: 'table',
      regions: ['us-west-2', 'us-east-1', 'eu-west-1'],
      administrators: ['arn:aws:iam::111122223333:role/one', 'arn:aws:iam::111122223333:role/two'],
      queue: { kind: 'none' },
    };
    const given = async (what: string): Promise<unknown> =>
      parametersOf(await cli.deploy([what], { ...ABSENT, ...changes() }, named))[0];
    expect(await given('keys')).toMatchObject({
      Name: 'orders',
      AdministratorArns: 'arn:aws:iam::111122223333:role/one,arn:aws:iam::111122223333:role/two',
    });
    expect(await given('table')).toEqual({
      TableName: 'Keys',
      Classification: 'confidential',
      EncryptionKeyName: 'table',
      RolesStackName: 'trial-roles',
      WriterArns: '',
      ReplicaRegion1: 'us-east-1',
      ReplicaRegion2: 'eu-west-1',
      ReplicaRegion3: '',
      ReplicaPolicy1: 'true',
      ReplicaPolicy2: 'true',
      ReplicaPolicy3: 'true',
    });
    expect(await given('roles')).toEqual({
      FunctionPrefix: 'trial',
      KeyName: 'orders',
      KeyRegions: 'us-west-2,us-east-1,eu-west-1',
      TableName: 'Keys',
      Service: 'orders',
      Product: 'shop',
      TableKeyName: 'table',
      InputQueueName: '',
      Tracing: 'false',
      InVpc: 'false',
      PermissionsBoundaryArn: '',
    });
  });

  it('tell the table stack which roles may write to the table', async () => {
    const roles = 'arn:aws:iam::111122223333:role';
    const tableWriters = [`${roles}/key-revoker`, `${roles}/billing-roles-*`];
    const [table] = parametersOf(await cli.deploy(['table'], { ...ABSENT, ...changes() }, { tableWriters }));
    expect(table).toMatchObject({ RolesStackName: 'keyfold-roles', WriterArns: tableWriters.join(',') });
    const [alone] = parametersOf(await cli.deploy(['table'], { ...ABSENT, ...changes() }));
    expect(alone).toMatchObject({ WriterArns: '' });
  });
});

describe('a deploy script', () => {
  it('refuses credentials from another account', async () => {
    const outcome = await cli.deploy(['keys', '--yes'], { 'sts get-caller-identity': { Account: '999999999999' } });
    expect(outcome).toMatchObject({ code: 1 });
    expect(outcome.said).toBe('these are credentials of account 999999999999; the deployment is in 111122223333\n');
    expect(namesOf(outcome)).toEqual(['sts get-caller-identity']);
  });

  it.for([
    ['arn:aws:sts::111122223333:assumed-role/deployer/somebody', 'arn:aws:iam::111122223333:role/key-administrator'],
    [
      'arn:aws:sts::111122223333:assumed-role/administrator/somebody',
      'arn:aws:iam::111122223333:role/key-administrator',
    ],
    ['arn:aws:sts::111122223333:assumed-role/ann/ann', 'arn:aws:iam::111122223333:user/ann'],
    ['arn:aws:iam::111122223333:user/ann', 'arn:aws:iam::111122223333:role/ann'],
    ['arn:aws:iam::111122223333:root', 'arn:aws:iam::111122223333:role/root'],
  ] as const)('refuses to create keys as %s if only %s may administer the keys', async ([caller, administrator]) => {
    const outcome = await cli.deploy(['keys', '--yes'], callerOf(caller), { administrators: [administrator] });
    expect(outcome.code).toBe(1);
    expect(outcome.said).toBe(`${caller} is not among administrators of deploy.yml\n`);
    expect(namesOf(outcome)).toEqual(['sts get-caller-identity']);
  });

  it.for([
    ['arn:aws:sts::111122223333:assumed-role/admin/somebody', 'arn:aws:iam::111122223333:role/path/admin'],
    ['arn:aws:iam::111122223333:user/path/ann', 'arn:aws:iam::111122223333:user/path/ann'],
  ] as const)('accepts the credentials of %s if %s administers the keys', async ([caller, administrator]) => {
    const given = { ...callerOf(caller), ...ABSENT, ...changes(['Add', 'AWS::KMS::Key']) };
    const outcome = await cli.deploy(['keys', '--yes'], given, { administrators: [administrator] });
    expect(outcome.code).toBe(0);
  });

  it('accepts any credentials for the roles and the table, because neither has a key policy', async () => {
    const caller = callerOf('arn:aws:sts::111122223333:assumed-role/deployer/somebody');
    for (const [what, type] of [
      ['table', 'AWS::DynamoDB::GlobalTable'],
      ['roles', 'AWS::IAM::Role'],
    ] as const) {
      const outcome = await cli.deploy([what, '--yes'], { ...caller, ...ABSENT, ...changes(['Add', type]) });
      expect(outcome.code).toBe(0);
    }
  });

  it('accepts any credentials without --yes', async () => {
    const caller = callerOf('arn:aws:sts::111122223333:assumed-role/reader/somebody');
    const outcome = await cli.deploy(['keys'], { ...caller, ...ABSENT, ...changes(['Add', 'AWS::KMS::Key']) });
    expect(outcome.code).toBe(0);
  });

  it('refuses to use deploy.example.yml without changes', async () => {
    const outcome = await cli.run(['keys', '--yes'], {}, EXAMPLE);
    expect(outcome).toMatchObject({ code: 1, calls: [] });
    expect(outcome.said).toBe(
      'there is no deploy.yml: copy deploy.example.yml to deploy.yml and fill it in (docs/tutorial/deploy.md)\n',
    );
  });

  it('reports all errors in deploy.yml at once', async () => {
    const outcome = await cli.deploy(
      ['keys'],
      {},
      {
        account: 111122223333,
        regions: ['us-west-2', 'nowhere'],
        service: undefined,
        queue: { kind: 'lifo' },
        http: { auth: 'jwt' },
        colour: 'blue',
      },
    );
    expect(outcome).toMatchObject({ code: 1, calls: [] });
    const [title, ...faults] = outcome.said.split('\n');
    expect(title).toMatch(/^\/\S+\/deploy\.yml is not valid:$/);
    expect(faults).toEqual([
      '- account is not text: put it in quotes',
      '- service is missing',
      '- regions.1 is not a region',
      '- queue.kind must be none, standard or fifo',
      '- colour is not an option',
      '',
    ]);
  });

  it.for([
    ['keyName', 'keyfold*'],
    ['keyName', 'aws-keyfold'],
    ['keyName', 'keyfold-next'],
    ['keyName', 'keyfold-retired'],
    ['keyName', 'keyfold-retired-1'],
    ['tableKeyName', '*'],
    ['tableKeyName', 'keyfold-table-next-2'],
  ] as const)(
    'refuses the %s %s, because policies could match the keys of other deployments',
    async ([option, name]) => {
      const outcome = await cli.deploy(['keys'], {}, { [option]: name });
      expect(outcome).toMatchObject({ code: 1, calls: [] });
      expect(outcome.said).toContain(`${option} is not a valid key name`);
    },
  );

  it.for(['trial-next', 'trial-retired-1', 'aws'])('refuses the prefix %s unless keyName is set', async (prefix) => {
    const refused = await cli.deploy(['keys'], {}, { prefix });
    expect(refused).toMatchObject({ code: 1, calls: [] });
    expect(refused.said).toContain('prefix is not a valid key name, and keyName is missing');
    const named = await cli.deploy(['keys'], { ...ABSENT, ...changes() }, { prefix, keyName: 'orders' });
    expect(named.code).toBe(0);
  });

  it('refuses settings that would prevent the functions from starting', async () => {
    const outcome = await cli.deploy(
      ['keys'],
      {},
      {
        service: 'my_orders',
        settings: {
          KEYFOLD_TABEL: 'x',
          KEYFOLD_MAX_ROUNDS: '2',
          KEYFOLD_MAX_ITEMS: '2000',
          KEYFOLD_DYNAMODB_REGION: 'us-west-2',
        },
        queue: { kind: 'standard', operations: ['bogus'], fields: ['no path'] },
      },
    );
    expect(outcome).toMatchObject({ code: 1, calls: [] });
    for (const fault of [
      'the service holds an underscore, which makes key ids ambiguous; allow it only for an existing table',
      'KEYFOLD_TABEL is not a setting',
      'KEYFOLD_MAX_ROUNDS is no longer a setting, because its value is now a constant: delete it',
      'KEYFOLD_MAX_ITEMS is more than 1000',
      'KEYFOLD_OPERATIONS lists an unknown operation',
      'KEYFOLD_FIELDS[0] is not a JSONPath: at character 1 it needs $',
      "KEYFOLD_REGION_SUFFIX is another region than the table's: keys of a region are written in its own replica",
    ]) {
      expect(outcome.said.split(`- ${fault}\n`)).toHaveLength(2);
    }
  });

  it('refuses settings for token claims unless http.auth is "jwt"', async () => {
    const http = { partitionLists: true, partitionWildcards: false, scopeClaim: 'scp' };
    const outcome = await cli.deploy(['keys'], {}, { http });
    expect(outcome).toMatchObject({ code: 1, calls: [] });
    for (const name of Object.keys(http)) expect(outcome.said).toContain(`http.${name} is set without http.auth jwt`);
  });

  it('refuses a scope claim that API Gateway does not check', async () => {
    const outcome = await cli.deploy(['keys'], {}, { http: { auth: 'jwt', scopeClaim: 'permissions' } });
    expect(outcome).toMatchObject({ code: 1, calls: [] });
    expect(outcome.said).toContain('http.scopeClaim is neither scope nor scp');
  });

  it.for([
    [
      '101 fields',
      { queue: { kind: 'standard', fields: Array.from({ length: 101 }, (_, i) => `$.f${i}`) } },
      'KEYFOLD_FIELDS has 101 paths',
    ],
    [
      'a field inside another field',
      { queue: { kind: 'fifo', fields: ['$.a', '$.a.b'] } },
      'KEYFOLD_FIELDS[1] selects only values inside',
    ],
    [
      'more bytes of settings than Lambda accepts',
      { queue: { kind: 'standard', fields: ['a', 'b', 'c', 'd', 'e'].map((f) => `$.${f.repeat(900)}`) } },
      'but Lambda accepts only 4096',
    ],
    [
      'a deadline margin that leaves no time',
      { functions: { api: { timeoutSeconds: 5 } }, settings: { KEYFOLD_DEADLINE_MARGIN_MS: '5000' } },
      'functions.api.timeoutSeconds leaves no time',
    ],
    [
      'more wraps than there are regions',
      { settings: { KEYFOLD_MINIMUM_WRAPPED_REGIONS: '4' } },
      'minimumWrappedRegions is 4',
    ],
    ['an invalid region', { regions: ['us-west-2', 'us-east'] }, 'is not a region'],
    [
      'an invalid alarm topic',
      { alarmTopics: { 'us-west-2': 'arn:aws:sns:us-west-2' } },
      'is not the ARN of a standard SNS topic',
    ],
    [
      'an alarm topic in another region',
      { alarmTopics: { 'us-west-2': 'arn:aws:sns:us-east-1:111122223333:oncall' } },
      'alarmTopics.us-west-2 is in us-east-1',
    ],
    [
      'an invalid key ARN',
      { environmentKeys: { 'us-west-2': 'arn:aws:kms:us-west-2:111122223333:alias/x' } },
      'is not the ARN of a KMS key',
    ],
    [
      'an issuer without TLS',
      { http: { auth: 'jwt', issuer: 'http://login.example.com/', audience: ['x'], partitionsClaim: 't' } },
      'is not an https URL',
    ],
    [
      'an alarm that would fire too late',
      { queue: { kind: 'standard', retentionDays: 2, oldestMessageSeconds: 172_800 } },
      'queue.oldestMessageSeconds is not below',
    ],
    [
      'queue operations without a queue',
      { queue: { operations: ['encrypt-fields'] } },
      'queue.operations is set without a queue.kind',
    ],
    [
      'a log level that suppresses the audit',
      { settings: { POWERTOOLS_LOG_LEVEL: 'SILENT' } },
      'settings.POWERTOOLS_LOG_LEVEL must be one of TRACE, DEBUG, INFO, WARN, ERROR, CRITICAL: otherwise there might be no audit',
    ],
    [
      'a setting that turns metrics off',
      { settings: { POWERTOOLS_METRICS_DISABLED: 'true' } },
      'settings.POWERTOOLS_METRICS_DISABLED can turn off the metrics, on which the alarms depend',
    ],
    [
      'a development setting that turns metrics off',
      { settings: { POWERTOOLS_DEV: '1' } },
      'settings.POWERTOOLS_DEV can turn off the metrics',
    ],
    ['a table name with a line break', { tableName: 'Keys\n' }, 'is not a valid table name'],
  ] as const)('refuses a deploy.yml with %s', async ([, options, fault]) => {
    const outcome = await cli.deploy(['keys'], {}, options);
    expect(outcome).toMatchObject({ code: 1, calls: [] });
    expect(outcome.said).toContain(fault);
  });

  it('refuses options that contradict each other', async () => {
    const outcome = await cli.deploy(
      ['keys'],
      {},
      {
        http: { auth: 'jwt', issuer: 'https://login.example.com/' },
        alarmTopics: { 'eu-west-1': 'arn:aws:sns:eu-west-1:111122223333:oncall' },
        settings: { KEYFOLD_AUTH: 'none' },
        functions: { queue: { reservedConcurrency: 2 } },
        queue: { kind: 'standard', maximumConcurrency: 50 },
      },
    );
    expect(outcome.said).toContain('functions.queue.reservedConcurrency is below queue.maximumConcurrency');
    expect(outcome.said).toContain('http.audience is missing with http.auth jwt');
    expect(outcome.said).toContain('alarmTopics names eu-west-1, which is not among the regions');
    expect(outcome.said).toContain('settings.KEYFOLD_AUTH is set elsewhere');
  });

  const ROLES = 'arn:aws:iam::111122223333:role';

  it.for<[fault: string, changed: object]>([
    [
      'regions are in several AWS partitions (aws, aws-cn), which share nothing',
      { regions: ['us-west-2', 'cn-north-1'] },
    ],
    [
      'regions are in several AWS partitions (aws, aws-eusc), which share nothing',
      { regions: ['eu-central-1', 'eusc-de-east-1'], alarmTopics: {} },
    ],
    [
      'administrators.0 is in the partition aws, but us-gov-west-1 is in aws-us-gov',
      { regions: ['us-gov-west-1', 'us-gov-east-1'] },
    ],
    [
      'administrators.1 is in account 444455556666, but the deployment is in 111122223333',
      {
        administrators: [
          'arn:aws:iam::111122223333:role/key-administrator',
          'arn:aws:iam::444455556666:role/key-administrator',
        ],
      },
    ],
    [
      'tableWriters.0 is in account 444455556666, but the deployment is in 111122223333',
      { tableWriters: ['arn:aws:iam::444455556666:role/key-revoker'] },
    ],
    [
      'permissionsBoundary is in account 444455556666, but the deployment is in 111122223333',
      { permissionsBoundary: 'arn:aws:iam::444455556666:policy/bounds' },
    ],
    [
      'alarmTopics.us-west-2 is in us-east-1: AWS accepts only one in the same region',
      { alarmTopics: { 'us-west-2': 'arn:aws:sns:us-east-1:111122223333:oncall' } },
    ],
    [
      'alarmTopics.us-west-2 is in the partition aws-cn, but us-west-2 is in aws',
      { alarmTopics: { 'us-west-2': 'arn:aws-cn:sns:us-west-2:111122223333:oncall' } },
    ],
    [
      'alarmTopics.us-west-2 is not the ARN of a standard SNS topic',
      { alarmTopics: { 'us-west-2': 'arn:aws:sns:us-west-2:111122223333:oncall.fifo' } },
    ],
    [
      'environmentKeys.us-east-1 is in us-west-2: AWS accepts only one in the same region',
      { environmentKeys: { 'us-east-1': 'arn:aws:kms:us-west-2:111122223333:key/1' } },
    ],
    [
      'environmentKeys.us-east-1 is not the ARN of a KMS key',
      { environmentKeys: { 'us-east-1': 'arn:aws:kms:us-east-1:111122223333:banana' } },
    ],
    [
      'the variables of the function queue are 4866 bytes, but Lambda accepts only 4096: shorten settings or queue.fields',
      {
        queue: {
          kind: 'standard',
          fields: Array.from({ length: 60 }, (_, i) => `$.customer.details.field${i}.a${'x'.repeat(40)}`),
        },
      },
    ],
    [
      'the variables of the function api are 4328 bytes, but Lambda accepts only 4096: shorten settings or queue.fields',
      { settings: { POWERTOOLS_SERVICE_NAME: 'é'.repeat(2000) } },
    ],
    [
      'systemLogLevel is set without logFormat json, without which Lambda has no log levels',
      { systemLogLevel: 'WARN' },
    ],
    [
      'applicationLogLevel is set without logFormat json, without which Lambda has no log levels',
      { applicationLogLevel: 'INFO', logFormat: 'text' },
    ],
    [
      'applicationLogLevel must be one of TRACE, DEBUG, INFO: above INFO Lambda drops the audit and the metrics (settings.POWERTOOLS_LOG_LEVEL leaves them)',
      { logFormat: 'json', applicationLogLevel: 'WARN' },
    ],
    ['service holds a character that is not ASCII, which CloudWatch refuses', { service: 'café' }],
    [
      'prefix must be one to sixteen lower-case letters, digits and hyphens, and begin with a letter',
      { prefix: 'Keyfold' },
    ],
    [
      'api.domain.certificates.us-west-2 is not the ARN of a certificate',
      { api: { domain: { name: 'keys.example.com', certificates: { 'us-west-2': 'x' } } } },
    ],
    ['service begins with a colon, or holds an asterisk, a question mark or a dollar sign', { service: 'orders*' }],
    [
      'product begins with a colon, or holds an asterisk, a question mark or a dollar sign',
      { product: '${aws:username}' },
    ],
    ['service begins with a colon, or holds an asterisk, a question mark or a dollar sign', { service: ':orders' }],
    ['service is longer than 255 characters', { service: 's'.repeat(256) }],
    ['service is empty, or holds a space, a quote or a backslash', { service: 'my orders' }],
    [
      'http.issuer is not an https URL',
      { http: { auth: 'jwt', issuer: 'http://login.example.com/', audience: ['a'], partitionsClaim: 'p' } },
    ],
    ['prefix begins with a prefix that S3 reserves', { prefix: 'xn--keyfold' }],
    ['settings.POWERTOOLS_A-B is not a setting', { settings: { 'POWERTOOLS_A-B': '1' } }],
    [
      "tableKeyName is the name of the functions' keys, which DynamoDB may not use: the table needs a key of its own",
      { tableKeyName: 'keyfold' },
    ],
    [
      "tableKeyName is the name of the functions' keys, which DynamoDB may not use: the table needs a key of its own",
      { tableKeyName: 'orders', keyName: 'orders' },
    ],
    ['tableWriters.0 is not the ARN of a role or user, or its name has a comma', { tableWriters: ['*'] }],
    [
      'tableWriters.0 is not the ARN of a role or user, or its name has a comma',
      { tableWriters: [`${ROLES}/revoker,restorer`] },
    ],
    [
      'administrators.0 is not the ARN of a role or user, or its name has a comma',
      { administrators: [`${ROLES}/keys,all`] },
    ],
    [
      'administrators.0 is not the ARN of a role or user, or its name has a comma',
      { administrators: [`${ROLES}/keys/`] },
    ],
    [
      'administrators.0 is not the ARN of a role or user, or its name has a comma',
      { administrators: [`${ROLES}//keys`] },
    ],
    [
      'administrators have 4391 characters together, but CloudFormation accepts only 4096',
      { administrators: Array.from({ length: 72 }, (_, i) => `${ROLES}/key-administrator-${'x'.repeat(8)}-${10 + i}`) },
    ],
    [
      'tableWriters have 4175 characters together, but CloudFormation accepts only 4096',
      { tableWriters: Array.from({ length: 72 }, (_, i) => `${ROLES}/key-revoker-${'x'.repeat(11)}-${10 + i}`) },
    ],
    [
      'http.audience names more than 50 entries, the maximum of API Gateway',
      {
        http: {
          auth: 'jwt',
          issuer: 'https://login.example.com/',
          partitionsClaim: 'tenant',
          audience: Array.from({ length: 51 }, (_, i) => `client-${i}`),
        },
      },
    ],
    ['permissionsBoundary is not the ARN of a policy', { permissionsBoundary: `${ROLES}/bounds` }],
  ])('refuses options that AWS would refuse, with the message "%s"', async ([fault, changed]) => {
    const outcome = await cli.deploy(['keys'], {}, changed);
    expect(outcome).toMatchObject({ code: 1, calls: [] });
    expect(outcome.said.split('\n')).toContain(`- ${fault}`);
  });

  it('refuses endpoints that AWS does not have, before it packages the app', async () => {
    const lookup = `
      import dns from 'node:dns/promises';
      import { syncBuiltinESMExports } from 'node:module';
      dns.lookup = async (host) => {
        if (host.startsWith('dynamodb-fips.us-west-2.')) throw Object.assign(new Error(), { code: 'ENOTFOUND' });
      };
      syncBuiltinESMExports();
    `;
    const NODE_OPTIONS = `--import data:text/javascript,${encodeURIComponent(lookup)}`;
    const outcome = await cli.deployInProcess(['app'], ABSENT, { endpoints: { fips: true } }, { NODE_OPTIONS });
    expect(outcome.said).toContain(
      'AWS has no such hosts, which endpoints in deploy.yml asks for: dynamodb-fips.us-west-2',
    );
    expect(namesOf(outcome)).toEqual(['sts get-caller-identity']);
  });

  it('refuses to deploy the app if osls does not know the S3 endpoint', async () => {
    const region = 'eusc-de-east-1';
    const changed = { regions: [region], administrators: ['arn:aws-eusc:iam::111122223333:role/key-administrator'] };
    const outcome = await cli.deploy(['app'], ABSENT, changed);
    expect(outcome.code).toBe(1);
    expect(outcome.said).toBe(
      'osls, which deploys the app, does not know where S3 is in the partition aws-eusc of eusc-de-east-1: ' +
        'deploy what npm run package makes by other means (docs/tutorial/deploy.md)\n',
    );
    expect(namesOf(outcome)).toEqual(['sts get-caller-identity']);
  });

  it.for([
    ['cn-northwest-1', 'aws-cn'],
    ['us-gov-east-1', 'aws-us-gov'],
    ['eusc-de-east-1', 'aws-eusc'],
    ['us-iso-east-1', 'aws-iso'],
    ['us-isob-east-1', 'aws-iso-b'],
    ['eu-isoe-west-1', 'aws-iso-e'],
    ['us-isof-south-1', 'aws-iso-f'],
  ] as const)('accepts a deployment in %s whose keys, topics and administrators are in %s', async ([region, name]) => {
    const changed = {
      regions: [region],
      administrators: [`arn:${name}:iam::111122223333:role/key-administrator`],
      alarmTopics: { [region]: `arn:${name}:sns:${region}:111122223333:oncall` },
      environmentKeys: { [region]: `arn:${name}:kms:${region}:111122223333:key/1` },
      tableWriters: [`arn:${name}:iam::111122223333:role/key-revoker`],
      permissionsBoundary: `arn:${name}:iam::aws:policy/PowerUserAccess`,
    };
    const outcome = await cli.deploy(['keys'], { ...ABSENT, ...changes() }, changed);
    expect(outcome).toMatchObject({ code: 0 });
    const file = { ...(yamlParse(await readFile(EXAMPLE, 'utf8')) as object), ...changed };
    const deployment = v.parse(deploymentSchema, file);
    expect(JSON.parse(environmentOf(deployment, region)['KEYFOLD_KMS_KEYS'] ?? '')).toEqual({
      [region]: `arn:${name}:kms:${region}:111122223333:alias/keyfold`,
    });
  });
});

it('a package names its account, its region and the parameters of the roles stack', async () => {
  const example = yamlParse(await readFile(EXAMPLE, 'utf8')) as object;
  const deployment = v.parse(deploymentSchema, { ...example, regions: ['us-east-1'] });
  const folder = await mkdtemp(join(tmpdir(), 'keyfold-described-'));
  await describePackage(deployment, 'us-east-1', folder);
  const described = JSON.parse(await readFile(join(folder, 'stacks.json'), 'utf8')) as unknown;
  await rm(folder, { recursive: true });
  expect(described).toEqual({
    account: '111122223333',
    region: 'us-east-1',
    roles: {
      FunctionPrefix: 'keyfold',
      KeyName: 'keyfold',
      KeyRegions: 'us-east-1',
      TableName: 'EncryptionKey',
      TableKeyName: '',
      Service: 'orders',
      Product: 'shop',
      InputQueueName: 'keyfold-input',
      OutputQueueName: 'keyfold-output',
      DeadLetterQueueName: 'keyfold-dead-letters',
      Tracing: 'false',
      InVpc: 'false',
      PermissionsBoundaryArn: '',
    },
  });
});
