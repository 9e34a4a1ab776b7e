/**
 * Checks the zips of `npm run package -- --zips` and the examples for SAM and Terraform against
 * docs/how-to/deploy-with-terraform-or-sam.md.
 */
import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { beforeAll, expect, it } from 'vitest';
import { yamlParse } from 'yaml-cfn';
import { namesIn } from '../integration/infra/package.ts';
import { pythonOf } from './install.ts';

const run = promisify(execFile);
const root = join(import.meta.dirname, '..', '..');

/** A function, as the page describes it. */
interface Row {
  readonly name: string;
  readonly zip: string;
  readonly handler: string;
  readonly role: string;
}

const page = readFileSync(join(root, 'docs', 'how-to', 'deploy-with-terraform-or-sam.md'), 'utf8');
const rows: Row[] = [...page.matchAll(/^\| `PREFIX-(\w+)` +\| `(\S+)` +\| `(\S+)` +\| `PREFIX-roles-(\w+)Arn`/gm)].map(
  ([, name = '', zip = '', handler = '', role = '']) => ({ name, zip, handler, role }),
);
/** The functions that the examples deploy: all except the queue function. */
const withoutQueue = rows.filter(({ name }) => name !== 'queue');

beforeAll(() => run(process.execPath, ['scripts/package.ts', '--zips'], { cwd: root }));

it.for(rows)('$zip has the handler that docs/how-to/deploy-with-terraform-or-sam.md names', ({ zip, handler }) => {
  const names = namesIn(readFileSync(join(root, '.keyfold', 'zips', zip)));
  expect(names).toContain(handler.replace(/\.handler$/, '.mjs'));
});

it('docs/how-to/deploy-with-terraform-or-sam.md describes the five functions', () => {
  expect(rows.map(({ name }) => name)).toEqual(['api', 'seal', 'open', 'maintenance', 'queue']);
});

it('the example for SAM is valid, and has the functions that docs/how-to/deploy-with-terraform-or-sam.md describes', async () => {
  const file = join(root, 'examples', 'sam.yml');
  await run(join(dirname(pythonOf('moto')), 'cfn-lint'), [file]);
  const { Resources } = yamlParse(readFileSync(file, 'utf8')) as { Resources: Record<string, SamResource> };
  const functions = Object.values(Resources).filter(({ Type }) => Type === 'AWS::Serverless::Function');
  const found = functions.map(({ Properties }) => ({
    name: Properties.FunctionName.replace('keyfold-', ''),
    zip: Properties.CodeUri.replace('../.keyfold/zips/', ''),
    handler: Properties.Handler,
    role: Properties.Role['Fn::ImportValue'].replace(/^keyfold-roles-(\w+)Arn$/, '$1'),
  }));
  expect(found).toEqual(withoutQueue);
});

it('the example for Terraform parses, and has the functions that docs/how-to/deploy-with-terraform-or-sam.md describes', async () => {
  const program = 'import hcl2, json, sys; print(json.dumps(hcl2.load(open(sys.argv[1]))["locals"][0]["functions"]))';
  const { stdout } = await run(pythonOf('checkov'), ['-c', program, join(root, 'examples', 'terraform.tf')]);
  const [functions = {}] = [JSON.parse(stdout)].flat() as Record<string, { handler: unknown; role: unknown }>[];
  const found = Object.entries(functions).map(([name, { handler, role }]) => ({
    name,
    zip: `${name}.zip`,
    handler: [handler].flat()[0],
    role: [role].flat()[0],
  }));
  expect(found).toEqual(withoutQueue);
});

it('the examples for SAM and Terraform keep the log groups on deletion, because these contain the audit log', () => {
  const [sam = '', terraform = ''] = ['sam.yml', 'terraform.tf'].map((name) =>
    readFileSync(join(root, 'examples', name), 'utf8'),
  );
  expect(sam.match(/AWS::Logs::LogGroup\n +DeletionPolicy: RetainExceptOnCreate\n/g)).toHaveLength(4);
  const [, logGroup] = /"aws_cloudwatch_log_group" "keyfold" \{(.*?)\n\}/s.exec(terraform) ?? [];
  expect(logGroup).toMatch(/\n {2}skip_destroy += true$/);
});

interface SamResource {
  readonly Type: string;
  readonly Properties: {
    readonly FunctionName: string;
    readonly CodeUri: string;
    readonly Handler: string;
    readonly Role: { readonly 'Fn::ImportValue': string };
  };
}
