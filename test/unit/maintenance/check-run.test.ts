import { expect, it } from 'vitest';
import { checkRun } from '../../../src/maintenance/reencryption/check-run.ts';
import { KeyNaming } from '../../../src/records/ids.ts';

const NAMING = new KeyNaming({ service: 'svc', product: 'prod' });
const check = (...[options, paths]: [Parameters<typeof checkRun>[0], string[]?]) => checkRun(options, paths, NAMING);

it.for<[string, Parameters<typeof check>]>([
  ['an invalid partition', [{ partition: '' }]],
  ['an empty context', [{ context: {} }]],
  ['an empty contextFrom', [{ contextFrom: {} }]],
  ['a context with an empty name', [{ context: { a: 'b' }, contextFrom: { '': 'field' } }]],
  ['a JSONPath with a mistake', [{}, ['$.a', 'b']]],
])('checkRun refuses %s', ([, options]) => {
  expect(() => check(...options)).toThrow(expect.objectContaining({ code: 'InvalidRequest' }));
});

it('checkRun throws an error that names the invalid JSONPath', () => {
  expect(() => check({}, ['$.a', 'b'])).toThrow(/^The list of JSONPaths is wrong: fields\[1\].*\.$/);
});

it.for<[string, Parameters<typeof check>]>([
  ['a run without options', [{}]],
  ['a partition and JSONPaths', [{ partition: 'p' }, ['$.a']]],
  ['a context, a part of which is in the row', [{ context: { a: 'b' }, contextFrom: { c: 'field' } }]],
])('checkRun accepts %s', ([, options]) => {
  expect(check(...options)).toBeUndefined();
});
