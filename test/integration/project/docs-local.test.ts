/**
 * Tests that docs/reference/local-world.md lists all actions, members and attributes of the emulators, and no others.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import * as dynamodb from '@aws-sdk/client-dynamodb';
import { describe, expect, it } from 'vitest';
import { KMS_ACTIONS } from '../../../emulators/kms/actions.ts';
import { ACTIONS } from '../../../emulators/sqs/actions.ts';
import { READABLE, SETTABLE } from '../../../emulators/sqs/queue-attributes.ts';
import { SYSTEM_ATTRIBUTES } from '../../../emulators/sqs/received.ts';

const root = join(import.meta.dirname, '..', '..', '..');
const text = readFileSync(join(root, 'docs', 'reference', 'local-world.md'), 'utf8');

/**
 * Finds the table whose first column has this header. Maps the first cell of each row to the names in its second cell.
 */
function rows(header: string): Record<string, string[]> {
  const table = text.split(`\n| ${header} `)[1]?.split('\n\n')[0]?.trimEnd() ?? '';
  const cells = table.split('\n').slice(2);
  return Object.fromEntries(
    cells.map((row) => {
      const [, first = '', second = ''] = row.split('|').map((cell) => cell.trim());
      return [first.replaceAll('`', ''), namesIn(second)];
    }),
  );
}

function namesIn(cell: string): string[] {
  return [...cell.matchAll(/`(\w+)`/g)].map(([, name = '']) => name);
}

describe('docs/reference/local-world.md', () => {
  it.for([
    ["KMS's action", KMS_ACTIONS],
    ["SQS's action", ACTIONS],
  ] as const)(
    "lists the emulator's actions and their members in the table with the heading “%s”",
    ([header, actions]) => {
      const members = Object.entries(actions).map(([name, action]) => [name, action.members]);
      expect(rows(header)).toEqual(Object.fromEntries(members));
    },
  );

  it('lists the attributes of SQS queues and messages', () => {
    expect(rows('attributes of')).toEqual({
      'a queue, set and read': SETTABLE,
      'a queue, read': READABLE,
      'a message that is received': Object.keys(SYSTEM_ATTRIBUTES),
    });
  });

  it('names the functions that `npm start` lets clients invoke', () => {
    const [, invokable = ''] =
      /const invokable = \{([^}]*)\}/.exec(readFileSync(join(root, 'local/start.ts'), 'utf8')) ?? [];
    const [, listed = ''] = /Invoke API for ([^:]*):/.exec(text) ?? [];
    const [inDocument, inCode] = [listed, invokable].map((names) => names.match(/keyfold-\w+/g)?.toSorted());
    expect(inDocument).toBeDefined();
    expect(inDocument).toEqual(inCode);
  });

  it("names dynalite's version and actions", () => {
    const folder = join(root, 'node_modules', 'dynalite');
    const [section = ''] = text.split('\n## DynamoDB\n')[1]?.split('\ndynalite does not refuse') ?? [];
    const { version } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string };
    expect(section).toContain(`) ${version} speaks`);
    const actions = readdirSync(join(folder, 'actions')).map((file) => file.replace('.js', ''));
    const listed = namesIn(section).filter((name) => !name.includes('_'));
    expect(listed.map((name) => name.charAt(0).toLowerCase() + name.slice(1))).toEqual(actions);
  });

  it('lists the members of DynamoDB requests that dynalite neither checks nor uses', () => {
    const require = createRequire(import.meta.url);
    const inputs = dynamodb as unknown as Readonly<Record<string, readonly unknown[] | undefined>>;
    const ignored: [string, string[]][] = [];
    for (const file of readdirSync(join(root, 'node_modules', 'dynalite', 'actions'))) {
      const { types } = require(`dynalite/validations/${file}`) as { types: object };
      const action = file.charAt(0).toUpperCase() + file.slice(1).replace('.js', '');
      // The fifth element of an input's schema has the names of its members.
      const members = (inputs[`${action}Input$`]?.[4] ?? ['no schema']) as string[];
      const unknown = members.filter((member) => !Object.hasOwn(types, member));
      if (unknown.length > 0) ignored.push([action, unknown]);
    }
    expect(rows("DynamoDB's action")).toEqual(Object.fromEntries(ignored));
  });
});
