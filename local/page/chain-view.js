import { count, el, timeOf } from './dom.js';

/** Shows the key hierarchy of a record, from the keys in the key service down to the data. */
export function chainView(record, { keys, keyService, regions }) {
  const intermediate = rowOf(keys, record.parent);
  const system = intermediate?.parent && rowOf(keys, intermediate.parent);
  return el(
    'ol',
    { class: 'chain' },
    keyService === 'KMS' ? kmsKeys(system, regions) : transitKey(system, keyService),
    link(
      'System Key',
      'one per service and product',
      system ?? intermediate?.parent,
      system,
      keyService === 'KMS' ? 'each region marked ✓ above can decrypt it alone' : 'encrypted with the transit key',
    ),
    link('Intermediate Key', 'one per partition', record.parent, intermediate, 'encrypted with the System Key'),
    link(
      'Data Row Key',
      'this record alone',
      { created: record.created },
      undefined,
      'encrypted with the Intermediate Key',
    ),
    el(
      'li',
      { class: 'link' },
      el('h3', {}, 'Your data ', el('small', {}, count(Math.max(record.data.length - 28, 0), 'byte'))),
      el('p', { class: 'hint' }, 'encrypted with the Data Row Key, in the record'),
    ),
  );
}

/** The row of a key in the key table. Undefined if the table does not have it. */
export function rowOf(keys, { id, created }) {
  return keys.find((row) => row.id === id && row.created === created);
}

/** The state of a key as a word with a mark, so that it does not depend on colour alone. */
export function stateBadge(state) {
  const mark = { valid: '✓', revoked: '✕', erased: '✕', expired: '⏱' }[state] ?? '?';
  return el('span', { class: `state ${state === 'valid' ? 'good' : 'bad'}` }, `${mark} ${state}`);
}

function kmsKeys(system, regions) {
  const wrapped = new Map((system?.wraps ?? []).map(({ region, arn }) => [region, arn]));
  return el(
    'li',
    { class: 'link' },
    el('h3', {}, 'KMS keys ', el('small', {}, 'one per region, independent')),
    el(
      'ul',
      { class: 'wraps' },
      regions.map(({ region, fault }) => {
        const arn = wrapped.get(region);
        const cannot = system === undefined ? '? the System Key is unknown' : '✕ cannot decrypt the System Key yet';
        const says = arn === undefined ? cannot : '✓ decrypts the System Key';
        return el(
          'li',
          { class: arn === undefined ? 'missing' : '' },
          el('b', {}, region),
          el('span', {}, says, fault !== null && el('span', { class: 'state bad' }, ' ✕ broken now')),
          arn && el('code', {}, arn.replace(/^.*key\//, 'key/')),
        );
      }),
    ),
  );
}

function transitKey(system, keyService) {
  return el(
    'li',
    { class: 'link' },
    el('h3', {}, 'Transit key ', el('small', {}, `in ${keyService}`)),
    el('p', { class: 'hint' }, `The System Key is encrypted with ${system?.wrappedBy ?? 'a key that is unknown'}.`),
  );
}

function link(name, subtitle, meta, row, how) {
  const inRecord = name === 'Data Row Key';
  return el(
    'li',
    { class: 'link' },
    el(
      'h3',
      {},
      `${name} `,
      el('small', {}, subtitle),
      ' ',
      inRecord ? undefined : stateBadge(row?.state ?? (meta ? 'not in this table' : 'unknown')),
    ),
    meta?.id && el('code', {}, meta.id),
    meta &&
      el(
        'p',
        { class: 'hint' },
        `made ${timeOf(meta.created)}, kept in ${inRecord ? 'the record' : 'DynamoDB'}; ${how}`,
      ),
  );
}
