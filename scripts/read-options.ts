import { parseArgs, type ParseArgsConfig } from 'node:util';

type Options = NonNullable<ParseArgsConfig['options']>;

/**
 * Reads the command line of a program. For `--help`, prints the help and ends the process. If an option is unknown,
 * prints the error and the help, and ends the process with the exit code 2.
 * @param help describes the options
 */
export function readOptions<const T extends Options>(help: string, options: T) {
  try {
    const { values } = parseArgs<{ options: T & { help: { type: 'boolean' } } }>({
      options: { ...options, help: { type: 'boolean' } },
    });
    if (!('help' in values)) return values;
    console.log(help);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    console.error(`${error.message}\n\n${help}`);
    process.exit(2);
  }
  return process.exit(0);
}
