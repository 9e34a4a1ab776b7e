/** The deployment roles, with the policies of infra/deployers.yml. */
import { OUTSIDERS, type Principal, WEST } from './account.ts';
import { ACCOUNT, render } from './template.ts';

/** The deployment roles, by what each role deploys. */
export type Deployers = Readonly<
  Record<'keys' | 'tableAndRoles' | 'app' | 'appWithRetention' | 'appWithEntries', Principal>
>;

/** Makes the deployment roles for the given parameters of the template. */
export function deployersOf(parameters: Readonly<Record<string, string>>): Deployers {
  const { resources } = render('deployers', WEST, parameters);
  const deployer = (arn: string, ...policies: string[]): Principal => ({
    arn,
    policies: policies.map((policy) => resources[policy]?.Properties['PolicyDocument']),
  });
  const other = `arn:aws:iam::${ACCOUNT}:role/deployer`;
  return {
    keys: deployer(OUTSIDERS['a key administrator without IAM'].arn, 'KeysPolicy'),
    tableAndRoles: deployer(other, 'TableAndRolesPolicy'),
    app: deployer(other, 'AppPolicy', 'AppQueuesAndLogsPolicy'),
    appWithRetention: deployer(other, 'AppPolicy', 'AppQueuesAndLogsPolicy', 'AppRetentionPolicy'),
    appWithEntries: deployer(other, 'AppPolicy', 'AppQueuesAndLogsPolicy', 'AppRetentionPolicy', 'AppEntriesPolicy'),
  };
}

/** The roles of the deployment `keyfold`. */
export const DEPLOYERS = deployersOf({});
