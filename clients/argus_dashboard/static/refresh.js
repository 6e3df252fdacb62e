// One refresh: every figure, chart and row from one query with an exact range, so that they agree.

import { getJson, isAbort } from './api.js';
import { showCarriers } from './carriers.js';
import { loadDurations, showDurations } from './durations.js';
import {
  loadEvents,
  setTotal,
  showEventsLoading,
  showEventsProblem,
  showEventsStale,
  showNoEvents,
} from './events.js';
import { figureMeasures, showFigures, showTotal } from './figures.js';
import { showSources, showTypeCounts } from './filters.js';
import { HEAP_MEASURES, HEAP_TYPES, showHeap } from './heap.js';
import { Panel } from './panels.js';
import { showRate, timeScale } from './rate.js';
import { showStacks } from './stacks.js';
import { toParams } from './state.js';
import { formatDuration, formatInstant, parseDuration, parseInstant } from './time.js';

const NOT_SHOWN = 'Your role does not show this.';
const MAX_STACKS = 10_000;
// Events may be stored between two requests; then what they say is asked for again, but not while they
// come all the time.
const TRIES = 3;

const panels = {
  rate: new Panel('rate'),
  durations: new Panel('durations-panel'),
  stacks: new Panel('stacks'),
  heap: new Panel('heap'),
  carriers: new Panel('carriers'),
};
let drawings = [];

/** Loads and shows all that state asks for; offered: what /api/columns answers. Returns the plan. Raises Problem, AbortError. */
export async function refresh(state, typeNames, { signal, offered, withEvents = true }) {
  for (const panel of Object.values(panels)) panel.loading();
  if (withEvents) showEventsLoading();
  for (let left = state.live ? 1 : TRIES; ; left -= 1) {
    const { params, plan, start, end } = await resolve(state, signal);
    const view = { state, params, plan, typeNames, start, end, signal, offered, withEvents };
    const total = await (plan.totalEvents === 0 ? showNothing(view) : showAll(view));
    if (total === plan.totalEvents) return plan;
    if (left === 1) {
      // The next refresh has them all; until then the strip says what the chart shows.
      showTotal(total);
      return plan;
    }
  }
}

/** What is shown stays, and nothing more is waited for. */
export function giveUp() {
  for (const panel of Object.values(panels)) panel.giveUp();
  showEventsStale();
}

/** Draws what is shown again: in other colours, or another zone. */
export async function redraw() {
  await Promise.all(drawings.map((drawing) => drawing()));
}

/** The state's parameters with an exact range in the place of `last`, and what they match. */
async function resolve(state, signal) {
  let params = toParams(state);
  let plan = await getJson('/api/plan', params, { signal });
  if (state.last) {
    const from = parseInstant(plan.query.from);
    const range = { from: plan.query.from, to: formatInstant(from + parseDuration(state.last)), last: '' };
    params = toParams({ ...state, ...range });
    plan = await getJson('/api/plan', params, { signal });
  }
  const first = plan.query.from ?? plan.firstTimestamp;
  const start = first ? parseInstant(first) : null;
  const last = plan.query.to
    ? parseInstant(plan.query.to)
    : plan.lastTimestamp
      ? parseInstant(plan.lastTimestamp) + 1n
      : null;
  return { params, plan, start, end: start !== null && last !== null && last <= start ? start + 1n : last };
}

async function showNothing({ state, params, plan, typeNames, signal, offered }) {
  drawings = [];
  showFigures(plan, [], state.types, typeNames);
  showTypeCounts([]);
  showNoEvents();
  for (const panel of Object.values(panels)) panel.empty('No events match these filters.');
  await loadSources(state, params, signal, offered);
  return 0;
}

async function showAll(view) {
  const { state, params, plan, typeNames, start, end, signal, offered, withEvents } = view;
  drawings = [];
  const scaleOf = (panel) => () => timeScale(start, end, panel.section.clientWidth);
  const aggregate = (by, measures, more = {}) => aggregateOf(params, by, measures, more, signal);
  const only = (types) =>
    types.filter(
      (type) => typeNames.includes(type) && (!state.types.length || state.types.includes(type)),
    );
  const measures = (names) => names.filter((name) => offered.measures.includes(name));
  const rate = scaleOf(panels.rate);
  let total = null;

  const loadRate = async () => {
    if (!offered.groupBy.includes('event_type')) return () => panels.rate.empty(NOT_SHOWN);
    const { events } = await aggregate([timeKey(rate()), 'event_type'], ['count']);
    return async () => {
      total = await showRate(panels.rate, events, rate(), typeNames);
    };
  };
  const loadFigures = async () => {
    if (!offered.groupBy.includes('event_type')) {
      showFigures(plan, [], state.types, []);
      return () => panels.durations.empty(NOT_SHOWN);
    }
    const { events } = await aggregate(['event_type'], figureMeasures(offered.measures));
    showFigures(plan, events, state.types, typeNames);
    showTypeCounts(events);
    const durations = await loadDurations(params, events, { signal });
    return () => showDurations(panels.durations, durations);
  };
  const loadStacks = async () => {
    if (!typeNames.includes('PINNED') || !offered.groupBy.includes('stack'))
      return () => panels.stacks.empty(NOT_SHOWN);
    if (!only(['PINNED']).length) return () => panels.stacks.empty('PINNED is not in the filter.');
    const answer = await aggregate(['stack'], measures(['count', 'sum:duration_ns', 'p99:duration_ns']), {
      type: 'PINNED',
      limit: MAX_STACKS,
    });
    return () => showStacks(panels.stacks, answer.events, answer.totalGroups ?? answer.events.length);
  };
  const loadHeap = async () => {
    const types = only(HEAP_TYPES);
    if (!HEAP_TYPES.some((type) => typeNames.includes(type))) return () => panels.heap.empty(NOT_SHOWN);
    if (!types.length) return () => panels.heap.empty('GC events are not in the filter.');
    const scale = scaleOf(panels.heap);
    const sources = offered.groupBy.includes('source') ? ['source'] : [];
    const { events } = await aggregate([timeKey(scale()), ...sources], measures(HEAP_MEASURES), {
      type: types.join(','),
    });
    return () => showHeap(panels.heap, events, scale());
  };
  const loadCarriers = async () => {
    const scale = scaleOf(panels.carriers);
    if (!offered.groupBy.includes('carrier_thread')) return () => panels.carriers.empty(NOT_SHOWN);
    const { events } = await aggregate([timeKey(scale()), 'carrier_thread'], ['count']);
    return () => showCarriers(panels.carriers, events, scale());
  };
  const loadTable = async () => {
    if (!withEvents) return setTotal(plan.totalEvents);
    return loadEvents(params, plan.totalEvents, { signal }).catch(reportTo(showEventsProblem));
  };

  const toPanel = (panel, load) => showIn(panel, load, signal);
  await Promise.all([
    toPanel(panels.rate, loadRate),
    toPanel(panels.durations, loadFigures),
    loadTable(),
    toPanel(panels.stacks, loadStacks),
    toPanel(panels.heap, loadHeap),
    toPanel(panels.carriers, loadCarriers),
    loadSources(state, params, signal, offered),
  ]);
  return total ?? plan.totalEvents;
}

/** What else there would be to choose from: the filter by source is left out. */
async function loadSources(state, params, signal, offered) {
  if (!offered.groupBy.includes('source')) return;
  const others = new URLSearchParams(params);
  others.delete('source');
  showSources((await aggregateOf(others, ['source'], ['count'], {}, signal)).events, state);
}

/** Loads and draws; a refusal of this part alone is said in this part alone. */
async function showIn(panel, load, signal) {
  try {
    const drawing = await load();
    signal.throwIfAborted();
    drawings.push(drawing);
    await drawing();
  } catch (error) {
    reportTo((problem) => (problem.status === 403 ? panel.empty(NOT_SHOWN) : panel.fail(problem)))(error);
  }
}

function reportTo(show) {
  return (error) => {
    if (isAbort(error) || error.isPassing) throw error;
    if (!error.title) console.error(error);
    show(error.title ? error : { title: error.message });
  };
}

function aggregateOf(params, by, measures, more, signal) {
  const grouped = new URLSearchParams(params);
  for (const key of by) grouped.append('by', key);
  for (const measure of measures) grouped.append('measure', measure);
  for (const [name, value] of Object.entries(more)) grouped.set(name, value);
  return getJson('/api/aggregate', grouped, { signal });
}

function timeKey(scale) {
  return `time:${formatDuration(scale.width)}`;
}
