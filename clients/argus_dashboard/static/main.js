// Starts the page, and decides when what is loaded.

import { getJson } from './api.js';
import { openExportDialog } from './dialog.js';
import { setUpDetail } from './detail.js';
import { byId, element } from './dom.js';
import { addEvents, render as renderEvents, setColumns, setUpEvents } from './events.js';
import { setUpFilters, showFilters, showRefusals } from './filters.js';
import { showEvents } from './format.js';
import { Follower } from './live.js';
import { changeRange } from './rate.js';
import { giveUp, redraw, refresh } from './refresh.js';
import { setSetting } from './settings.js';
import { getState, setState, subscribe, toParams } from './state.js';
import { getZone, parseInstant, setZone, showInstant, zoneName } from './time.js';

const LIVE_REFRESH_MS = 2_000;
const LIVE_SLIDE_MS = 10_000;
const LIVE_ROWS_MS = 250;
const RETRY_MS = [2_000, 4_000, 8_000, 15_000];
const TITLES = { 400: 'A filter does not fit', 403: 'Your role does not allow this' };
const THEMES = ['auto', 'light', 'dark'];

let columns = null;
let loading = null; // the AbortController of the last refresh
let isLoading = false;
let retryTimer = null;
let retries = 0;
let follower = null;
let liveTimer = null;
let tookMs = 0;
let waiting = []; // events that have come, and are not in the table yet

/** Loads everything for the state of now; a refresh under way is given up. */
async function load({ isLiveTick = false } = {}) {
  loading?.abort();
  clearTimeout(retryTimer);
  clearTimeout(liveTimer);
  liveTimer = null;
  loading = new AbortController();
  isLoading = true;
  const { signal } = loading;
  const state = getState();
  const began = performance.now();
  byId('main').setAttribute('aria-busy', 'true');
  if (!isLiveTick) byId('main').classList.add('loading');
  try {
    if (!columns) {
      const answer = await getJson('/api/columns', undefined, { signal }).catch(refuseWhole);
      if (!answer) return;
      setUpColumns(answer, state);
    }
    const typeNames = columns.eventTypes.map((type) => type.shortName);
    const plan = await refresh(state, typeNames, { signal, offered: columns, withEvents: !isLiveTick });
    if (loading.signal !== signal) return;
    retries = 0;
    showBanner(null);
    showOverview(plan);
    if (!isLiveTick) byId('status').textContent = `${showEvents(plan.totalEvents)} shown`;
  } catch (error) {
    if (loading.signal !== signal) return;
    // What is left of this refresh would only fail, too.
    loading.abort();
    giveUp();
    showProblem(error);
  }
  isLoading = false;
  tookMs = performance.now() - began;
  byId('main').setAttribute('aria-busy', 'false');
  byId('main').classList.remove('loading');
}

function setUpColumns(answer, state) {
  columns = answer;
  setColumns(answer.columns);
  setUpDetail(answer.columns);
  setUpFilters(answer);
  showFilters(state);
}

/** Whoever may not even see the columns is told so, in the place of a page of empty panels. */
function refuseWhole(problem) {
  if (problem.status !== 403) throw problem;
  document.body.classList.add('refused');
  byId('refused').hidden = false;
  byId('refused-why').textContent = problem.detail;
  byId('main').setAttribute('aria-busy', 'false');
  byId('status').textContent = byId('refused-title').textContent;
  follower?.stop();
}

function showProblem(problem) {
  if (problem.isPassing) {
    const waitMs = RETRY_MS[Math.min(retries, RETRY_MS.length - 1)];
    retries += 1;
    retryTimer = setTimeout(load, problem.retryAfterS ? problem.retryAfterS * 1000 : waitMs);
    const title = problem.status === 503 ? 'The Argus server does not answer' : problem.title;
    showBanner(
      'away',
      title,
      `${problem.detail ?? ''} What is shown may be out of date; trying again by itself.`,
    );
    return;
  }
  // Errors of the page itself have no title; they are worth a look in the console.
  if (!problem.title) console.error(problem);
  showRefusals(problem.errors ?? []);
  const named = (problem.errors ?? []).map(
    ({ parameter, value, allowed }) =>
      `${parameter}${value === undefined || value === null ? '' : ` = ${value}`}${allowed ? `: ${allowed}` : ''}`,
  );
  const title = TITLES[problem.status] ?? (problem.title || 'The page has failed');
  showBanner('error', title, named.length ? named.join('; ') : problem.detail || problem.message);
}

// An alert that says the same again would be read out again, so it is left as it is.
function showBanner(kind, title = '', detail = '') {
  const banner = byId('banner');
  const text = `${title}${detail}`;
  if (banner.dataset.text === text) return;
  banner.dataset.text = text;
  banner.className = kind ?? '';
  banner.hidden = !kind;
  document.body.classList.toggle('stale', kind !== null);
  const said = element('p', {}, element('strong', { text: title }), ' ', element('span', { text: detail }));
  banner.replaceChildren(...(kind ? [said] : []));
  if (kind !== 'away') return;
  const again = element('button', { type: 'button', text: 'Try again now' });
  again.addEventListener('click', () => load());
  banner.append(again);
}

function showOverview({ firstTimestamp, lastTimestamp }) {
  if (!firstTimestamp) {
    byId('overview').textContent = '';
    return;
  }
  const last = parseInstant(lastTimestamp);
  byId('overview').textContent =
    `${showInstant(parseInstant(firstTimestamp), 0)} to ${showInstant(last, 0)} ${zoneName(last)}`;
}

function showLive(text, kind) {
  byId('live-label').textContent = text;
  byId('live-switch').className = `switch ${kind}`;
}

/** Begins to follow, ends it, or follows another query, as the state says. */
function follow(state) {
  follower?.stop();
  follower = null;
  waiting = [];
  clearTimeout(liveTimer);
  liveTimer = null;
  byId('live-switch').setAttribute('aria-checked', String(state.live));
  showLive('Live', state.live ? 'connecting' : '');
  if (!state.live) return;
  let wasAway = false;
  const params = toParams({ ...state, to: '', from: state.last ? '' : state.from, last: '' });
  follower = new Follower(params, {
    connected() {
      showLive('Live', 'on');
      wasAway = false;
      // Also for what came between the last answer and this connection.
      load();
    },
    away() {
      showLive('Live, reconnecting', 'connecting');
      if (!wasAway) load();
      wasAway = true;
    },
    refused(problem) {
      setState({ live: false });
      showProblem(problem);
    },
    events(fresh) {
      if (!waiting.length) setTimeout(takeIn, LIVE_ROWS_MS);
      waiting.push(...fresh);
    },
  });
  slide();
}

function takeIn() {
  const fresh = waiting;
  waiting = [];
  if (!getState().live) return;
  addEvents(fresh);
  refreshSoon();
}

// The figures and charts cost the server more than the rows: a third of the time at most.
function refreshSoon() {
  liveTimer ??= setTimeout(
    () => {
      liveTimer = null;
      if (isLoading || document.hidden) refreshSoon();
      else load({ isLiveTick: true });
    },
    Math.max(LIVE_REFRESH_MS, 2 * tookMs),
  );
}

// A range that ends now moves on without new events, too.
function slide() {
  const following = follower;
  setTimeout(() => {
    if (following !== follower) return;
    if (getState().last) refreshSoon();
    slide();
  }, LIVE_SLIDE_MS);
}

function setUpButtons() {
  byId('live-switch').addEventListener('click', () => {
    const { live } = getState();
    // Being live, a range has no end.
    setState(live ? { live: false } : { live: true, to: '' });
  });
  byId('export-button').addEventListener('click', () => openExportDialog(getState()));
  byId('zone-button').addEventListener('click', () => {
    setZone(getZone() === 'utc' ? 'local' : 'utc');
    showZone();
    showFilters(getState());
    renderEvents();
    redraw();
  });
  byId('theme-button').addEventListener('click', () => {
    const next = THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length];
    setSetting('argus-theme', next);
    if (next === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = next;
    showTheme();
    redraw();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', redraw);
  byId('zoom-in').addEventListener('click', () => changeRange(0, 0.5));
  byId('zoom-out').addEventListener('click', () => changeRange(0, 2));
  byId('earlier').addEventListener('click', () => changeRange(-0.5, 1));
  byId('later').addEventListener('click', () => changeRange(0.5, 1));
  showZone();
  showTheme();
}

async function showSession() {
  const { signedIn, name } = await getJson('/api/session');
  byId('signed-in').hidden = !signedIn;
  byId('signed-in-name').textContent = name ?? '';
}

function theme() {
  return document.documentElement.dataset.theme ?? 'auto';
}

function showTheme() {
  byId('theme-button').textContent = `Theme: ${theme()}`;
}

function showZone() {
  byId('zone-button').textContent = `Time: ${getZone() === 'utc' ? 'UTC' : 'local'}`;
}

setUpButtons();
// Without an answer the rest of the page says so.
showSession().catch(() => {});
setUpEvents(() => load());
subscribe((state, earlier) => {
  const isSameQuery = toParams(state).toString() === toParams(earlier).toString();
  if (columns) showFilters(state);
  if (!isSameQuery) load();
  if (!isSameQuery || state.live !== earlier.live) follow(state);
});
load();
follow(getState());
