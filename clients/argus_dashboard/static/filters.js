// The filter bar: shows the state, and changes it.

import { byId, element } from './dom.js';
import { colorName, showCount } from './format.js';
import { emptyState, getState, setState, shortType, toParams } from './state.js';
import { formatInstant, getZone, parseInstant, showInstant, zoneName } from './time.js';

const PRESETS = [
  ['5m', '5 min'],
  ['15m', '15 min'],
  ['1h', '1 h'],
  ['6h', '6 h'],
  ['24h', '24 h'],
  ['7d', '7 d'],
  ['', 'All'],
];
// The field that a parameter's refusal is shown at.
const FIELDS = {
  from: 'from',
  to: 'to',
  thread_name: 'thread-name',
  thread_name_contains: 'thread-name',
  thread_name_regex: 'thread-name',
  min_duration: 'min-duration',
  max_duration: 'min-duration',
};

// The column that a control is a condition on.
const FILTERED = { 'thread-name': 'thread_name', 'thread-name-mode': 'thread_name', 'min-duration': 'duration_ns' };

/** columns: the answer of /api/columns. A control is of no use where its column is not shown. */
export function setUpFilters(columns) {
  byId('presets').append(...PRESETS.map(([last, text]) => presetOf(last, text)));
  const canFilter = new Set(columns.columns.filter((column) => !column.isRedacted).map((column) => column.name));
  for (const [id, name] of Object.entries(FILTERED)) byId(id).disabled = !canFilter.has(name);
  byId('source-menu').hidden = !canFilter.has('source');
  byId('types').append(...columns.eventTypes.map(({ shortName }) => chipOf(shortName)));
  byId('filters').addEventListener('submit', (event) => event.preventDefault());
  for (const name of ['from', 'to']) {
    byId(name).addEventListener('change', () => readInstant(name));
  }
  onChange('thread-name', (threadName) => ({ threadName }));
  onChange('thread-name-mode', (threadNameMode) => ({ threadNameMode }));
  onChange('min-duration', (text) => ({ minDuration: text.trim() }));
  byId('clear-filters').addEventListener('click', () => setState({ ...emptyState(), live: getState().live }));
  document.addEventListener('click', ({ target }) => {
    if (!target.closest?.('#source-menu')) byId('source-menu').open = false;
  });
  byId('source-menu').addEventListener('keydown', (key) => {
    if (key.key !== 'Escape') return;
    byId('source-menu').open = false;
    byId('source-menu').querySelector('summary').focus();
  });
}

function onChange(id, patch) {
  byId(id).addEventListener('change', ({ target }) => setState(patch(target.value)));
}

function presetOf(last, text) {
  const radio = element('input', { type: 'radio', name: 'preset', value: last });
  radio.addEventListener('change', () => setState({ last, from: '', to: '' }));
  return element(
    'label',
    {},
    radio,
    element('span', { text, title: last ? `The last ${text}` : 'Whatever is stored' }),
  );
}

function chipOf(type) {
  const box = element('input', { type: 'checkbox', value: type });
  box.addEventListener('change', () => {
    const ticked = [...byId('types').querySelectorAll('input:checked')].map((input) => input.value);
    setState({ types: ticked });
  });
  box.style.setProperty('--color', `var(${colorName(type)})`);
  return element(
    'label',
    { className: 'chip' },
    box,
    element('span', { text: type }),
    element('span', { className: 'count' }),
  );
}

function readInstant(name) {
  const text = byId(name).value.trim();
  try {
    const value = text ? formatInstant(parseInstant(text, getZone())) : '';
    // A range has no end while it is live.
    setState({ [name]: value, last: '', ...(name === 'to' && value ? { live: false } : {}) });
    wrong(name, '');
  } catch (error) {
    wrong(name, error.message);
  }
}

/** Sets every control to what the state says. */
export function showFilters(state) {
  for (const radio of byId('presets').querySelectorAll('input')) {
    radio.checked = radio.value === state.last && !state.from && !state.to;
  }
  for (const name of ['from', 'to']) {
    byId(name).value = shownInstant(state[name]);
    wrong(name, '');
  }
  byId('from').placeholder = state.last ? `${state.last} ago` : 'the first event';
  byId('to').placeholder = state.last || state.live ? 'now' : 'the last event';
  byId('zone-name').textContent = getZone() === 'utc' ? 'UTC' : `local, ${zoneName()}`;
  byId('thread-name').value = state.threadName;
  byId('thread-name-mode').value = state.threadNameMode;
  byId('min-duration').value = state.minDuration;
  for (const id of ['thread-name', 'min-duration']) wrong(id, '');
  for (const box of byId('types').querySelectorAll('input')) box.checked = state.types.includes(box.value);
  showAlso(state);
  byId('clear-filters').disabled = !toParams(state).toString();
}

function shownInstant(text) {
  try {
    return text && showInstant(parseInstant(text));
  } catch {
    return text; // The server will say what is wrong with it.
  }
}

/** What no control of its own shows: each a button that takes it away. */
function showAlso(state) {
  const conditions = [
    ...state.threadIds.map((id) => [
      `thread #${id}`,
      { threadIds: state.threadIds.filter((other) => other !== id) },
    ]),
    ...state.carrierThreads.map((id) => [
      `carrier #${id}`,
      { carrierThreads: state.carrierThreads.filter((other) => other !== id) },
    ]),
    ...(state.maxDuration ? [[`at most ${state.maxDuration}`, { maxDuration: '' }]] : []),
  ];
  const buttons = conditions.map(([text, patch]) => {
    const button = element('button', {
      type: 'button',
      'aria-label': `Remove the condition: ${text}`,
      text: `${text} ✕`,
    });
    button.addEventListener('click', () => setState(patch));
    return button;
  });
  byId('also').replaceChildren('Also: ', ...buttons);
  byId('also').hidden = !buttons.length;
}

/** The counts beside the types; null while they are not known. */
export function showTypeCounts(rows) {
  for (const chip of byId('types').querySelectorAll('.chip')) {
    const type = chip.querySelector('input').value;
    const row = rows.find((one) => shortType(one.eventType) === type);
    chip.querySelector('.count').textContent = row ? showCount(row.count) : '';
  }
}

/** rows: [{source, count}] without the filter by source. */
export function showSources(rows, state) {
  const names = [
    ...new Set([...rows.map((row) => row.source).filter((name) => name !== undefined), ...state.sources]),
  ];
  byId('sources').replaceChildren(
    ...names.map((name) => {
      const box = element('input', { type: 'checkbox', value: name, checked: state.sources.includes(name) });
      box.addEventListener('change', () => {
        const ticked = [...byId('sources').querySelectorAll('input:checked')].map((input) => input.value);
        setState({ sources: ticked });
      });
      const count = rows.find((row) => row.source === name)?.count;
      return element(
        'label',
        {},
        box,
        element('span', { text: name || '(empty)' }),
        element('span', { className: 'count', text: count === undefined ? '' : showCount(count) }),
      );
    }),
  );
  if (!names.length) byId('sources').textContent = 'No event names its source.';
  byId('source-summary').textContent = !state.sources.length
    ? 'all'
    : state.sources.length === 1
      ? state.sources[0]
      : `${state.sources.length}`;
}

/** Shows at their fields what was refused. */
export function showRefusals(errors) {
  for (const { parameter, allowed } of errors) {
    if (FIELDS[parameter]) wrong(FIELDS[parameter], allowed ?? 'is not allowed');
  }
}

function wrong(id, text) {
  const said = byId(`${id}-wrong`);
  said.textContent = text;
  said.hidden = !text;
  if (text) byId(id).setAttribute('aria-invalid', 'true');
  else byId(id).removeAttribute('aria-invalid');
  if (text) byId(id).setAttribute('aria-describedby', said.id);
  else byId(id).removeAttribute('aria-describedby');
}
