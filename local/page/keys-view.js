import { stateBadge } from './chain-view.js';
import { el, timeOf } from './dom.js';

const KINDS = {
  system: 'System Key',
  intermediate: 'Intermediate Key',
  tombstone: 'tombstone',
  register: 'register of erasures',
  other: 'not a Keyfold key',
};
const COLUMNS = ['Key', 'Kind', 'Made', 'State', 'Encrypted with', ''];

/**
 * Shows the rows of the key table. The elements have explicit ARIA roles, because narrow screens show the table as
 * blocks.
 */
export function keysView(keys, onRevoke) {
  if (keys.length === 0)
    return el('p', { class: 'empty' }, 'Empty: the first encrypt creates a System Key and an Intermediate Key.');
  return el(
    'table',
    { role: 'table', class: 'keys' },
    el('caption', { class: 'unseen' }, 'Keys in DynamoDB'),
    el('thead', { role: 'rowgroup' }, el('tr', { role: 'row' }, COLUMNS.map(header))),
    el(
      'tbody',
      { role: 'rowgroup' },
      keys.map((row) => rowView(row, onRevoke)),
    ),
  );
}

function header(name) {
  return el(
    'th',
    { role: 'columnheader', scope: 'col' },
    name === '' ? el('span', { class: 'unseen' }, 'Action') : name,
  );
}

function rowView(row, onRevoke) {
  const { id, kind, created, state, unreadable } = row;
  const revokable = state === 'valid' || state === 'expired';
  const contents = [
    el('code', {}, id),
    KINDS[kind],
    created === null ? '?' : timeOf(created),
    kind !== 'register' && el('span', { title: unreadable }, stateBadge(state)),
    kind !== 'register' && kind !== 'tombstone' && sealer(row),
    revokable &&
      el(
        'button',
        {
          type: 'button',
          class: 'small',
          'aria-label': `Revoke ${id}, made ${timeOf(created)}`,
          onclick: () => onRevoke(row),
        },
        'Revoke',
      ),
  ];
  return el(
    'tr',
    { role: 'row' },
    contents.map((content, i) =>
      el('td', { role: 'cell', 'data-label': COLUMNS[i] }, content === false ? undefined : content),
    ),
  );
}

function sealer({ parent, wraps, wrappedBy }) {
  if (parent !== null) return el('span', {}, el('code', {}, parent.id), ` ${timeOf(parent.created)}`);
  if (wrappedBy !== null) return wrappedBy;
  if (wraps === null || wraps.length === 0) return 'no region';
  return `KMS in ${wraps.map(({ region }) => region).join(' and ')}`;
}
