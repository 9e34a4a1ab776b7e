import type { Command } from 'commander';
import type { OperatorConfig } from '../config/operator-config.ts';
import { invalidConfiguration, KeyfoldError } from '../errors.ts';
import type { RowTransfer } from '../maintenance/row-transfer.ts';
import { replicaIn } from '../metastore/dynamodb-options.ts';
import type { CliDependencies } from './dependencies.ts';
import {
  withCommonOptions,
  withConfirmation,
  writeRequestOf,
  type CommonOptions,
  type WriteOptions,
} from './options.ts';
import { transferRows, type TransferRequest } from './transfer-rows.ts';

type TransferOptions = CommonOptions & WriteOptions;

/**
 * Adds the commands `table import` and `table copy` to the program.
 * @param ran called with the exit code when a command ends
 */
export function addTableCommands(
  program: Command,
  configOf: (options: CommonOptions) => OperatorConfig,
  dependencies: CliDependencies,
  ran: (exitCode: number) => void,
): void {
  const table = program.command('table').description('the key table as a whole');

  /** Runs one command, and then closes the connections to its source. */
  const run = async (
    action: TransferRequest['action'],
    transfer: RowTransfer,
    options: TransferOptions,
  ): Promise<void> => {
    try {
      const request = { action, ...writeRequestOf(options) };
      ran(await transferRows(request, transfer, configOf(options).metastore, dependencies));
    } finally {
      await transfer.close();
    }
  };

  withCommonOptions(withConfirmation(table.command('import')))
    .description('adds the key rows of an Asherah in PostgreSQL, MySQL or MariaDB; DATABASE_URL names the database')
    .action(async (options: TransferOptions) => {
      const { DATABASE_URL: url } = dependencies.environment;
      if (url === undefined) throw invalidConfiguration(['set DATABASE_URL to the database with the key rows']);
      await run('table import', await dependencies.openImport(url, configOf(options).metastore), options);
    });

  withCommonOptions(withConfirmation(table.command('copy')))
    .description('adds the key rows of another DynamoDB table')
    .requiredOption('--from <table>', 'the table whose rows to copy: its name, or its ARN in another account')
    .option('--from-region <region>', "that table's region; default: the region of the key table")
    .action(async (options: TransferOptions & { from: string; fromRegion?: string }) => {
      const { from, fromRegion } = options;
      const { metastore } = configOf(options);
      const inRegion = fromRegion === undefined ? metastore : replicaIn(fromRegion, metastore);
      const source = { ...inRegion, tableName: from };
      if (source.tableName === metastore.tableName && source.region === metastore.region) {
        throw new KeyfoldError('InvalidRequest', 'The table cannot be copied to itself.');
      }
      await run('table copy', dependencies.openCopy(source, metastore), options);
    });
}
