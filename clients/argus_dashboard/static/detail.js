// All that one event has, with its stack.

import { byId, element } from './dom.js';
import { showBytes, showCount, showDuration, showPercent } from './format.js';
import { setState, shortType } from './state.js';
import { formatInstant, parseInstant, showInstant, zoneName } from './time.js';

const NEAR_NS = 500_000_000n;

let columns = [];
let shown = null;
let whenClosed = () => {};

/** cols: the columns of /api/columns, for titles and units. */
export function setUpDetail(cols) {
  columns = cols;
  byId('detail').addEventListener('keydown', (key) => {
    if (key.key === 'Escape') closeDetail();
  });
}

export function isShown(event) {
  return shown !== null && shown.sequence === event?.sequence;
}

/** Shows an event and moves the focus there; onClose gets it back. */
export function openDetail(event, onClose) {
  shown = event;
  whenClosed = onClose;
  const close = element('button', {
    type: 'button',
    className: 'quiet',
    'aria-label': 'Close the details',
    text: '✕',
  });
  close.addEventListener('click', closeDetail);
  const detail = byId('detail');
  detail.replaceChildren(
    element('header', {}, element('h3', { id: 'detail-title', text: shortType(event.eventType) }), close),
    element('div', { className: 'actions' }, ...actionsFor(event)),
    element(
      'dl',
      {},
      ...columns.filter((column) => column.name !== 'stack_trace').flatMap((column) => lineOf(column, event)),
    ),
    ...stackOf(event),
  );
  detail.hidden = false;
  detail.focus({ preventScroll: matchMedia('(min-width: 900px)').matches });
}

export function closeDetail() {
  if (!shown) return;
  shown = null;
  byId('detail').hidden = true;
  whenClosed();
}

function lineOf(column, event) {
  const value = event[column.jsonName];
  if (column.isRedacted) {
    const name = element('dt', { text: nameOf(column), title: column.description ?? '' });
    return [name, element('dd', { className: 'redacted', text: 'hidden from your role' })];
  }
  if (value === undefined || value === null) return [];
  return [
    element('dt', { text: nameOf(column), title: column.description ?? '' }),
    element('dd', { text: textOf(column, value) }),
  ];
}

function nameOf(column) {
  return column.title.replace(/ \([^)]*\)$/, '');
}

// The exact value, with one that is quicker to read before it.
function textOf(column, value) {
  if (column.name === 'timestamp') {
    const ns = parseInstant(value);
    return `${showInstant(ns)} ${zoneName(ns)}`;
  }
  if (column.name === 'event_type') return value;
  if (column.name.endsWith('_ns')) return `${showDuration(value)} (${showCount(value)} ns)`;
  if (column.name.endsWith('_bytes')) return `${showBytes(value)} (${showCount(value)} B)`;
  if (column.name.startsWith('cpu_')) return showPercent(value);
  return value === '' ? '(empty)' : String(value);
}

function stackOf(event) {
  if (!event.stackTrace) return [];
  const copy = element('button', { type: 'button', className: 'quiet', text: 'Copy' });
  copy.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(event.stackTrace);
      copy.textContent = 'Copied';
    } catch {
      copy.textContent = 'Not allowed';
    }
  });
  return [
    element('div', { className: 'stack-title' }, element('h4', { text: 'Stack' }), copy),
    element('pre', { tabIndex: 0, 'aria-label': 'Stack', role: 'region', text: event.stackTrace }),
  ];
}

function actionsFor(event) {
  const at = parseInstant(event.timestamp);
  const action = (text, patch) => {
    const button = element('button', { type: 'button', text });
    button.addEventListener('click', () => {
      closeDetail();
      setState(patch);
    });
    return button;
  };
  return [
    ...(event.threadId === undefined
      ? []
      : [action('Only this thread', { threadIds: [String(event.threadId)] })]),
    action('Only this type', { types: [shortType(event.eventType)] }),
    action('One second around', {
      from: formatInstant(at - NEAR_NS),
      to: formatInstant(at + NEAR_NS),
      last: '',
      live: false,
    }),
  ];
}
