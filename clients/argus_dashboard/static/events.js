// The event table, newest first.

import { getJson } from './api.js';
import { closeDetail, isShown, openDetail } from './detail.js';
import { byId, element } from './dom.js';
import { colorName, showBytes, showCount, showDuration, showEvents, showPercent } from './format.js';
import { shortType } from './state.js';
import { parseInstant, showInstant, zoneName } from './time.js';

const FIRST_PAGE = 100;
const MAX_PAGE = 1000; // what /api/events gives at most

let shown = new Set(); // the keys of columns that there are for this person
let redacted = new Set(); // those of them whose values are kept from them
let limit = FIRST_PAGE;
let events = [];
let total = 0;

/** Loads the newest page of params. Raises Problem. */
export async function loadEvents(params, totalEvents, { signal }) {
  const page = new URLSearchParams(params);
  page.set('columns', 'all');
  page.set('limit', limit);
  const answer = await getJson('/api/events', page, { signal });
  events = answer.events;
  total = totalEvents;
  render();
}

export function showEventsLoading() {
  byId('events').setAttribute('aria-busy', 'true');
  if (!events.length) say('Loading…');
}

export function showEventsStale() {
  byId('events').setAttribute('aria-busy', 'false');
  if (!events.length) say('Nothing could be loaded.');
}

export function showEventsProblem(problem) {
  byId('events').setAttribute('aria-busy', 'false');
  say(`${problem.title}${problem.detail ? `: ${problem.detail}` : ''}`);
}

export function showNoEvents() {
  events = [];
  total = 0;
  render();
}

/** How many events match now, when they are more than the table has. */
export function setTotal(totalEvents) {
  total = totalEvents;
  showCaption();
}

/** Puts events that have just come into the table, at the place that their time gives them. */
export function addEvents(fresh) {
  const known = new Set(events.map((event) => event.sequence));
  const added = fresh.filter((event) => !known.has(event.sequence));
  if (!added.length) return;
  const keyed = [...added, ...events].map((event) => ({ event, ns: parseInstant(event.timestamp) }));
  keyed.sort((a, b) => (a.ns === b.ns ? b.event.sequence - a.event.sequence : a.ns < b.ns ? 1 : -1));
  events = keyed.slice(0, limit).map(({ event }) => event);
  // The next refresh says how many there are.
  total = Math.max(total, events.length);
  render(new Set(added.map((event) => event.sequence)));
}

/** columns: of /api/columns. */
export function setColumns(columns) {
  shown = new Set(columns.map((column) => column.jsonName));
  redacted = new Set(columns.filter((column) => column.isRedacted).map((column) => column.jsonName));
  for (const heading of document.querySelectorAll('#events-table th[data-key]'))
    heading.hidden = !shown.has(heading.dataset.key);
}

export function setUpEvents(onMore) {
  byId('events-more').addEventListener('click', () => {
    limit = MAX_PAGE;
    onMore();
  });
  byId('events-body').addEventListener('click', ({ target }) => {
    const row = target.closest('tr');
    if (row && !getSelection().toString()) select(row);
  });
  byId('events-body').addEventListener('keydown', (key) => {
    const step = { ArrowDown: 'nextElementSibling', ArrowUp: 'previousElementSibling' }[key.key];
    const button = step && key.target.closest('tr')?.[step]?.querySelector('button');
    if (!button) return;
    key.preventDefault();
    button.focus();
  });
}

/** Draws the rows again: after a change of zone. */
export function render(fresh = new Set()) {
  const focused = document.activeElement?.closest?.('#events-body tr')?.dataset.sequence;
  byId('time-heading').textContent =
    `Time (${zoneName(events.length ? parseInstant(events[0].timestamp) : undefined)})`;
  byId('events-body').replaceChildren(...events.map((event) => rowOf(event, fresh.has(event.sequence))));
  if (focused)
    byId('events-body')
      .querySelector(`tr[data-sequence="${focused}"] button`)
      ?.focus({ preventScroll: true });
  byId('events').setAttribute('aria-busy', 'false');
  say(events.length ? '' : 'No events match these filters.');
  showCaption();
}

function showCaption() {
  const cut = events.length < total;
  byId('events-caption').textContent = cut
    ? `The newest ${showCount(events.length)} of ${showCount(total)}`
    : showEvents(events.length);
  const more = byId('events-more');
  more.hidden = !cut || limit === MAX_PAGE;
  more.textContent = `Show ${showCount(Math.min(MAX_PAGE, total))}`;
}

function say(text) {
  const state = byId('events-state');
  state.textContent = text;
  state.hidden = !text;
}

function select(row) {
  const event = events.find((one) => String(one.sequence) === row.dataset.sequence);
  const button = row.querySelector('button');
  if (isShown(event)) return closeDetail();
  for (const other of byId('events-body').querySelectorAll('tr.chosen')) mark(other, false);
  mark(row, true);
  openDetail(event, () => {
    const shownRow = byId('events-body').querySelector(`tr[data-sequence="${event.sequence}"]`);
    if (shownRow) mark(shownRow, false);
    (shownRow?.querySelector('button') ?? (button.isConnected ? button : byId('events-scroll'))).focus();
  });
  return undefined;
}

function mark(row, isChosen) {
  row.classList.toggle('chosen', isChosen);
  row.querySelector('button').setAttribute('aria-expanded', String(isChosen));
}

function rowOf(event, isFresh) {
  const type = shortType(event.eventType);
  const swatch = element('span', { className: 'swatch' });
  swatch.style.background = `var(${colorName(type)})`;
  const [day, clock] = showInstant(parseInstant(event.timestamp), 6).split(' ');
  const time = element(
    'button',
    { type: 'button', className: 'expand', 'aria-expanded': 'false', 'aria-controls': 'detail' },
    element('span', { className: 'date', text: `${day} ` }),
    clock,
  );
  const row = element(
    'tr',
    { className: isFresh ? 'fresh' : undefined },
    element('td', { className: 'time' }, time),
    ...cellOf('eventType', () => element('td', {}, swatch, element('span', { text: type }))),
    ...cellOf('source', () => element('td', { text: event.source ?? '' })),
    threadCell(event),
    ...cellOf('durationNs', () =>
      element('td', {
        className: 'number',
        text: event.durationNs === undefined ? '' : showDuration(event.durationNs),
      }),
    ),
    element('td', { className: 'what', text: whatOf(event, type) }),
  );
  row.dataset.sequence = event.sequence;
  if (isShown(event)) mark(row, true);
  return row;
}

/** What make() gives, where there is such a column and its values are shown. */
function cellOf(key, make) {
  if (!shown.has(key)) return [];
  return [redacted.has(key) ? hidden() : make()];
}

function hidden() {
  return element('td', { className: 'redacted', text: 'hidden', title: 'Your role does not show this' });
}

function threadCell(event) {
  if (redacted.has('threadName') && event.threadId === undefined) return hidden();
  return element('td', { className: 'thread', title: event.threadName ?? '', text: threadOf(event) });
}

function threadOf(event) {
  if (redacted.has('threadName')) return `hidden #${event.threadId}`;
  if (event.threadId === undefined) return event.threadName ?? '';
  return event.threadName ? `${event.threadName} #${event.threadId}` : `#${event.threadId}`;
}

/** What a type carries beside thread and duration, in a line. */
function whatOf(event, type) {
  const bytes = (key) => (event[key] === undefined ? '?' : showBytes(event[key]));
  const share = (key) => (event[key] === undefined ? '?' : showPercent(event[key]));
  switch (type) {
    case 'GC_PAUSE':
      return [event.gcName, event.gcCause].filter(Boolean).join(', ');
    case 'GC_HEAP_SUMMARY':
      return `${bytes('heapUsedBeforeBytes')} → ${bytes('heapUsedAfterBytes')} of ${bytes('heapCommittedBytes')}`;
    case 'CPU_LOAD':
      return `JVM user ${share('cpuJvmUser')}, system ${share('cpuJvmSystem')}; machine ${share('cpuMachineTotal')}`;
    case 'ALLOCATION':
      return `${bytes('allocationSizeBytes')} ${event.className ?? ''}`;
    case 'METASPACE_SUMMARY':
      return [
        `${bytes('metaspaceUsedBytes')} of ${bytes('metaspaceCommittedBytes')}`,
        ...(event.classCount === undefined ? [] : [`${showCount(event.classCount)} classes`]),
      ].join(', ');
    case 'EXECUTION_SAMPLE':
      return [[event.className, event.methodName].filter(Boolean).join('.'), event.lineNumber]
        .filter((part) => part !== undefined)
        .join(':');
    case 'CONTENTION':
      return [event.contentionType, event.monitorClass].filter(Boolean).join(' ');
    default:
      return (
        event.exceptionMessage ??
        event.pinnedReason ??
        event.blockingOperation ??
        (event.stackTrace ?? '').split('\n', 1)[0]
      );
  }
}
