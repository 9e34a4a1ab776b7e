import { el } from './dom.js';

/** The faults that the page offers, worst first (docs/reference/local-world.md, "Faults of KMS"). */
const FAULTS = [
  { name: 'Down', says: 'Down: connections end unanswered', fault: { kind: 'down' } },
  { name: 'Hangs', says: 'Hangs: it never answers', fault: { kind: 'hang' } },
  { name: 'Slow', says: 'Slow: it answers 800 ms late', fault: { kind: 'latency', ms: 800 } },
  { name: 'Throttles', says: 'Throttles every call', fault: { kind: 'throttle', perSecond: 0 } },
  {
    name: 'Fails inside',
    says: 'Fails inside, with 500',
    fault: { kind: 'error', name: 'KMSInternalException', status: 500 },
  },
  {
    name: 'Key disabled',
    says: 'Says that its key is disabled',
    fault: { kind: 'error', name: 'DisabledException', status: 400 },
  },
  {
    name: 'Denies access',
    says: 'Denies access to its key',
    fault: { kind: 'error', name: 'AccessDeniedException', status: 400 },
  },
  { name: 'Cuts off', says: 'Cuts off in mid-answer', fault: { kind: 'reset' } },
  { name: 'Garbage', says: 'Answers garbage', fault: { kind: 'garbage' } },
];

/** Creates the controls of each region once. Updates change only their text, so that the focus stays where it is. */
export function regionsView(container, onFault) {
  const shown = new Map();
  return ({ regions, health }) => {
    for (const { region, preferred, fault } of regions) {
      if (!shown.has(region)) {
        const made = regionSwitch(region, preferred, onFault);
        shown.set(region, made);
        container.append(made.element);
      }
      shown.get(region).show(
        fault,
        health?.kms.find((one) => one.region === region),
      );
    }
  };
}

function regionSwitch(region, preferred, onFault) {
  let broken = false;
  const state = el('p', { class: 'region-state' });
  const seen = el('p', { class: 'hint' });
  const select = el(
    'select',
    { id: `how-${region}` },
    FAULTS.map(({ name }, i) => el('option', { value: i }, name)),
  );
  const button = el('button', { type: 'button' });
  const element = el(
    'fieldset',
    { class: 'region', id: `region-${region}` },
    el('legend', {}, region, preferred && ' ', preferred && el('small', {}, 'preferred')),
    state,
    seen,
    el('label', { class: 'unseen', for: select.id }, `How ${region} breaks`),
    el('div', { class: 'acts' }, select, button),
  );
  const chosen = () => FAULTS[Number(select.value)].fault;
  button.addEventListener('click', () => onFault(region, broken ? null : chosen()));
  select.addEventListener('change', () => broken && onFault(region, chosen()));
  return {
    element,
    show: (fault, health) => {
      broken = fault !== null;
      element.classList.toggle('broken', broken);
      const index = broken ? FAULTS.findIndex((one) => matches(one.fault, fault)) : -1;
      if (index >= 0) select.value = String(index);
      state.textContent = broken ? `✕ ${FAULTS[index]?.says ?? `Broken: ${JSON.stringify(fault)}`}` : '✓ Works';
      seen.textContent = seenBy(health);
      button.textContent = broken ? 'Mend' : 'Break';
      button.setAttribute('aria-label', `${button.textContent} ${region}`);
    },
  };
}

/** Whether a fault, with its defaults filled in, is the same as a fault that the page offers. */
function matches(ours, fault) {
  return Object.entries(ours).every(([name, value]) => fault[name] === value);
}

/** The state of a region, as the process sees it. The process knows only what its own requests have shown. */
function seenBy(health) {
  if (health === undefined || health.state === 'unknown') return 'The process has not called it yet.';
  const spared = health.avoidedUntilMs > Date.now() ? `, tried last until ${clock(health.avoidedUntilMs)}` : '';
  const at = health.atMs === undefined ? '' : ` at ${clock(health.atMs)}`;
  return `The process last found it ${health.state}${at}${spared}.`;
}

function clock(ms) {
  return new Date(ms).toLocaleTimeString('en-GB');
}
