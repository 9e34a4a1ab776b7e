/**
 * Tests that each public function either rejects an arbitrary argument with an error that names the argument, or
 * accepts it and works.
 */
import { readFileSync } from 'node:fs';
import fc from 'fast-check';
import { beforeAll, expect, it, vi } from 'vitest';
import * as client from '../../src/client/index.ts';
import * as defaultCredentials from '../../src/client/default-credentials.ts';
import * as lambda from '../../src/client/lambda.ts';
import * as library from '../../src/index.ts';
import * as pkcs11 from '../../src/kms/pkcs11/index.ts';
import * as vault from '../../src/kms/vault/index.ts';
import * as testing from '../../src/testing/index.ts';
import * as mysql from '../../src/metastore/sql/mysql-metastore.ts';
import * as postgres from '../../src/metastore/sql/postgres-metastore.ts';
import { hostile, withValueAt } from '../support/hostile.ts';
import { CLIENT, tenant } from '../support/public-client.ts';
import { isNamed, type PublicFunctions } from '../support/public-function.ts';
import { LIBRARY, session } from '../support/public-functions.ts';
import { PKCS11, TESTING, VAULT } from '../support/public-entries.ts';

/** The names of a module's functions and classes, and of the methods of its classes and of the `given` objects. */
function namesOf(module: object, given: Readonly<Record<string, object>>): string[] {
  const functions = Object.entries(module).filter(([, value]) => typeof value === 'function');
  const classes = functions.filter(([, value]) => String(value).startsWith('class'));
  const prototypes = [
    ...classes.map(([name, { prototype }]) => [name, prototype] as const),
    ...Object.entries(given).map(([name, object]) => [name, Object.getPrototypeOf(object) as object] as const),
  ];
  return [
    ...functions.map(([name, value]) => (String(value).startsWith('class') ? `new ${name}` : name)),
    ...prototypes.flatMap(([name, prototype]) => methodsOf(prototype as object).map((method) => `${name}.${method}`)),
  ];
}

/** The names of a class's own and inherited methods, without those of built-in classes. */
function methodsOf(prototype: object): string[] {
  if (prototype === Object.prototype || prototype === Error.prototype) return [];
  const members = Object.entries(Object.getOwnPropertyDescriptors(prototype));
  const own = members.filter(([name, { value }]) => name !== 'constructor' && typeof value === 'function');
  return [...own.map(([name]) => name), ...methodsOf(Object.getPrototypeOf(prototype) as object)];
}

/**
 * The names of the functions that have cases. A function can have more cases with other options. Their names contain
 * "over" or "with", and are left out.
 */
function tested(functions: PublicFunctions): string[] {
  return Object.keys(functions).filter((name) => !/ (?:over|with) /.test(name));
}

/** The result of a call, or the error that it throws or rejects with. */
async function outcomeOf(call: () => unknown): Promise<{ readonly value: unknown } | { readonly error: unknown }> {
  try {
    return { value: await call() };
  } catch (error) {
    return { error };
  }
}

/**
 * The property to test: if any one argument or option is replaced by an arbitrary value, the function either throws an
 * error that names it, or works as promised.
 */
async function refusesOrHolds(functions: PublicFunctions, name: string): Promise<fc.IAsyncProperty<unknown>> {
  const { args, call, holds } = functions[name] as PublicFunctions[string];
  const first = call(...((await args()) as never[]));
  const isAsync = first instanceof Promise;
  await Promise.allSettled([first]);
  return fc.asyncProperty(fc.nat(), hostile, async (at, make) => {
    const given = withValueAt(await args(), at, make());
    let result: unknown;
    const begin = (): unknown => (result = call(...(given as never[])));
    // An asynchronous function must reject instead of throwing.
    if (isAsync) begin();
    const outcome = await outcomeOf(isAsync ? () => result : begin);
    if ('value' in outcome) await holds?.(outcome.value as never, given as never);
    else isNamed(outcome.error);
  });
}

beforeAll(() => {
  for (const stream of [process.stdout, process.stderr]) vi.spyOn(stream, 'write').mockReturnValue(true);
});

it('the property test covers every function that the package exports', () => {
  const { exports } = JSON.parse(readFileSync('package.json', 'utf8')) as { exports: object };
  expect(Object.keys(exports)).toEqual([
    '.',
    // The constructs of `./cdk` need a package that only the user's app installs. So cdk.test.ts in
    // test/integration/infra and cdk.test.ts in test/peers cover them.
    './cdk',
    './client',
    './client/default-credentials',
    './client/lambda',
    './mysql',
    './pkcs11',
    './postgres',
    './testing',
    './vault',
  ]);
  expect(tested(PKCS11).toSorted()).toEqual(namesOf(pkcs11, {}).toSorted());
  expect(tested(VAULT).toSorted()).toEqual(namesOf(vault, {}).toSorted());
  expect(tested(TESTING).toSorted()).toEqual(namesOf(testing, {}).toSorted());
  expect(tested(LIBRARY).toSorted()).toEqual(
    namesOf({ ...library, ...mysql, ...postgres }, { Session: session }).toSorted(),
  );
  // `LambdaTransport.send` has no case of its own, because only KeyfoldClient calls it.
  const entries = { ...client, ...defaultCredentials, ...lambda };
  expect(tested(CLIENT).toSorted()).toEqual(
    namesOf(entries, { PartitionClient: tenant })
      .filter((name) => name !== 'LambdaTransport.send')
      .toSorted(),
  );
});

it.for(Object.keys(LIBRARY))(
  "the library's %s either works or throws an error that names the bad argument",
  async (name) => {
    await fc.assert(await refusesOrHolds(LIBRARY, name), { numRuns: 100 });
  },
);
it.for(Object.keys(CLIENT))(
  "the client's %s either works or throws an error that names the bad argument",
  async (name) => {
    await fc.assert(await refusesOrHolds(CLIENT, name), { numRuns: 100 });
  },
);
it.for(Object.keys(PKCS11))(
  '%s of keyfold/pkcs11 either works or throws an error that names the bad argument',
  async (name) => {
    await fc.assert(await refusesOrHolds(PKCS11, name), { numRuns: 100 });
  },
);
it.for(Object.keys(VAULT))(
  '%s of keyfold/vault either works or throws an error that names the bad argument',
  async (name) => {
    await fc.assert(await refusesOrHolds(VAULT, name), { numRuns: 100 });
  },
);
it.for(Object.keys(TESTING))(
  '%s of keyfold/testing either works or throws an error that names the bad argument',
  async (name) => {
    await fc.assert(await refusesOrHolds(TESTING, name), { numRuns: 100 });
  },
);
