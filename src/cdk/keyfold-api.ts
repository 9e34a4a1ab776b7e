import { Stack, Token } from 'aws-cdk-lib';
import { Function as LambdaFunction, type CfnFunction, type IFunction } from 'aws-cdk-lib/aws-lambda';
import { Construct } from 'constructs';
import { STRING, optional, optionsOf, type Type } from '../input/checks.ts';
import { AppPart, readPackage, type AppPackage } from './app-package.ts';
import { checkedScope, InfraTemplate, outputOf } from './infra-template.ts';
import { KeyTable, ROLES_ID } from './key-table.ts';
import { SymmetricKey } from './symmetric-key.ts';

/**
 * If a stack name is longer than this, CloudFormation shortens it in the roles' names. The table's policy would then
 * deny writes by these roles, because it recognises a role by the full stack name.
 */
const MAX_STACK_NAME = 20;

const KEY: Type = { called: 'a SymmetricKey', holds: (value) => value instanceof SymmetricKey };
const TABLE: Type = { called: 'a KeyTable', holds: (value) => value instanceof KeyTable };

/** The options of a {@link KeyfoldApi}. */
export interface KeyfoldApiProps {
  /**
   * The folder that `npm run package` has written for the region of the stack: `.keyfold/app/PREFIX/REGION`. It
   * contains the code, and a template that reflects every option of `deploy.yml`.
   */
  readonly packageFolder: string;
  /**
   * The key of this region. If you pass it, CloudFormation creates it before the functions. Its name must match
   * `deploy.yml`.
   */
  readonly key?: SymmetricKey | undefined;
  /**
   * The key table. If you pass it, CloudFormation creates it before the functions. Its name must match `deploy.yml`.
   */
  readonly table?: KeyTable | undefined;
}

/**
 * Keyfold's functions `api`, `seal`, `open` and `maintenance`, with their roles, the HTTP API, alarms and dashboard.
 * The construct deploys `infra/roles.yml` and the packaged app as nested stacks. {@link KeyfoldQueue} adds the queue. A
 * stack can contain one `KeyfoldApi`.
 * @example
 * import { App, Stack } from 'aws-cdk-lib';
 * import { Role, ServicePrincipal } from 'aws-cdk-lib/aws-iam';
 * import { KeyfoldApi } from 'keyfold/cdk';
 *
 * const stack = new Stack(new App(), 'keyfold', { env: { account: '111122223333', region: 'us-west-2' } });
 * const api = new KeyfoldApi(stack, 'Api', { packageFolder: '../keyfold/.keyfold/app/keyfold/us-west-2' });
 * const writer = new Role(stack, 'Writer', { assumedBy: new ServicePrincipal('lambda.amazonaws.com') });
 * api.sealFunction.grantInvoke(writer); // the writer can encrypt, but not decrypt
 */
export class KeyfoldApi extends Construct {
  /** The function that serves every operation over HTTP */
  readonly apiFunction: IFunction;
  /** The function that encrypts and rewraps */
  readonly sealFunction: IFunction;
  /** The function that decrypts */
  readonly openFunction: IFunction;
  /** The function that runs daily. Invoke it once after the first deployment: it creates the first System Key. */
  readonly maintenanceFunction: IFunction;
  /** The URL that AWS assigns to the HTTP API, REST API or function */
  readonly url: string;
  /** The SNS topic that receives the alarms. Undefined if `alarmTopics` in `deploy.yml` names an existing topic. */
  readonly alarmTopicArn: string | undefined;
  /** The role of the queue function. Undefined if `deploy.yml` has no queue. */
  readonly queueRoleArn: string | undefined;
  /** The value of the option `packageFolder` */
  readonly packageFolder: string;

  /**
   * @throws TypeError if an option is invalid, if a name differs from `deploy.yml`, or if the stack already contains a
   * `KeyfoldApi`. The error says which of these is the case.
   */
  constructor(scope: Construct, id: string, props: KeyfoldApiProps) {
    super(checkedScope(scope, id), id);
    const given = optionsOf<KeyfoldApiProps>(props, 'props', {
      packageFolder: STRING,
      key: optional(KEY),
      table: optional(TABLE),
    });
    const app = readPackage(given.packageFolder, 'props.packageFolder');
    const stack = Stack.of(this);
    requireFit(stack, app, given);
    // Each API makes a nested stack for its roles, always with the same logical ID. So a stack can hold only one API.
    if (stack.node.findAll().some((one) => one instanceof KeyfoldApi && one !== this && Stack.of(one) === stack)) {
      throw new TypeError('A stack can contain only one KeyfoldApi: make another stack for this one.');
    }
    const parameters = Object.entries(app.roles);
    const roles = new InfraTemplate(
      this,
      'Roles',
      'roles.yml',
      parameters.map(([parameter, value]) => ({ option: `${parameter} of props.packageFolder`, parameter, value })),
    );
    // The table's policy recognises the roles by the beginning of their names, which contains this ID.
    roles.resource.overrideLogicalId(ROLES_ID);
    const part = new AppPart(this, app, 'api', {
      ApiRole: roles.output('ApiRoleArn'),
      SealRole: roles.output('SealRoleArn'),
      OpenRole: roles.output('OpenRoleArn'),
      MaintenanceRole: roles.output('MaintenanceRoleArn'),
    });
    for (const first of [given.key, given.table]) if (first !== undefined) part.stack.node.addDependency(first);
    const { Resources } = app.template;
    // Provisioned concurrency belongs to an alias of the function, so callers must use that alias.
    const functionOf = (name: string): IFunction => {
      const alias = `${name}ProvConcLambdaAlias`;
      const functionArn = Object.hasOwn(Resources, alias)
        ? part.include.getResource(alias).ref
        : (part.include.getResource(`${name}LambdaFunction`) as CfnFunction).attrArn;
      return LambdaFunction.fromFunctionAttributes(this, name, { functionArn, sameEnvironment: true });
    };
    this.apiFunction = functionOf('Api');
    this.sealFunction = functionOf('Seal');
    this.openFunction = functionOf('Open');
    this.maintenanceFunction = functionOf('Maintenance');
    this.url = outputOf(part.stack, 'ApiUrl');
    this.alarmTopicArn = Object.hasOwn(Resources, 'AlarmTopic')
      ? part.include.getResource('AlarmTopic').ref
      : undefined;
    this.queueRoleArn = Object.hasOwn(Resources, 'InputQueue') ? roles.output('QueueRoleArn') : undefined;
    this.packageFolder = given.packageFolder;
  }
}

/** @throws TypeError if the package's account, region, key or table differs from the stack's */
function requireFit(stack: Stack, { account, region, roles }: AppPackage, { key, table }: KeyfoldApiProps): void {
  if (stack.stackName.length > MAX_STACK_NAME) {
    throw new TypeError(
      `The stack's name must have at most ${MAX_STACK_NAME} characters, so that the key table knows its roles.`,
    );
  }
  const fits = [
    ['account', account, stack.account],
    ['region', region, stack.region],
    ['key', roles['KeyName'], key?.keyName],
    ['table', roles['TableName'], table?.tableName],
  ] as const;
  for (const [what, packaged, here] of fits) {
    if (here === undefined || Token.isUnresolved(here) || here === packaged) continue;
    throw new TypeError(`props.packageFolder is for another ${what} than the stack: compare it with deploy.yml.`);
  }
}
