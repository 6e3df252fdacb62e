// The page's filters and the URL that holds them, so that back, forward and a shared link all work.

const SINGLE = {
  from: 'from',
  to: 'to',
  last: 'last',
  min_duration: 'minDuration',
  max_duration: 'maxDuration',
};
const SEVERAL = {
  type: 'types',
  source: 'sources',
  thread_id: 'threadIds',
  carrier_thread: 'carrierThreads',
};
const THREAD_NAME = { contains: 'thread_name_contains', glob: 'thread_name', regex: 'thread_name_regex' };
// A source may have a comma in its name, so sources repeat.
const COMMA_LISTS = new Set(['type', 'thread_id', 'carrier_thread']);

/** No condition: all events. */
export function emptyState() {
  return {
    from: '',
    to: '',
    last: '',
    types: [],
    sources: [],
    threadName: '',
    threadNameMode: 'contains',
    minDuration: '',
    maxDuration: '',
    threadIds: [],
    carrierThreads: [],
    live: false,
  };
}

/** The state as the parameters that every HTTP call takes. What is not set is left out. */
export function toParams(state) {
  const params = new URLSearchParams();
  for (const [name, key] of Object.entries(SINGLE)) {
    if (state[key]) params.set(name, state[key]);
  }
  for (const [name, key] of Object.entries(SEVERAL)) {
    const values = state[key] ?? [];
    if (COMMA_LISTS.has(name)) {
      if (values.length) params.set(name, values.join(','));
    } else {
      for (const value of values) params.append(name, value);
    }
  }
  if (state.threadName)
    params.set(THREAD_NAME[state.threadNameMode] ?? THREAD_NAME.contains, state.threadName);
  return params;
}

/** The state that a URL's query holds: the names of toParams(), and `live`. Others are left alone. */
export function fromParams(params) {
  const state = emptyState();
  for (const [name, key] of Object.entries(SINGLE)) state[key] = params.get(name) ?? '';
  for (const [name, key] of Object.entries(SEVERAL)) {
    const values = params.getAll(name);
    state[key] = COMMA_LISTS.has(name)
      ? values
          .flatMap((value) => value.split(','))
          .map((value) => value.trim())
          .filter(Boolean)
      : values;
  }
  // Types are shown by their short names, whatever a link wrote.
  state.types = [...new Set(state.types.map(shortType))];
  for (const [mode, name] of Object.entries(THREAD_NAME)) {
    if (params.get(name)) Object.assign(state, { threadName: params.get(name), threadNameMode: mode });
  }
  state.live = params.get('live') === '1';
  return state;
}

/** START for VIRTUAL_THREAD_START, the other types as they are. */
export function shortType(name = '') {
  return name
    .trim()
    .toUpperCase()
    .replace(/^VIRTUAL_THREAD_/, '');
}

const listeners = new Set();
let current = fromParams(new URLSearchParams(globalThis.location?.search ?? ''));

export function getState() {
  return { ...current };
}

/** Calls listener(state, earlierState) after every change, whoever made it. */
export function subscribe(listener) {
  listeners.add(listener);
}

/** Changes some of the state: a new entry of the browser's history, or in the place of this one. */
export function setState(patch, { replace = false } = {}) {
  const next = { ...current, ...patch };
  const url = urlOf(next);
  if (url === urlOf(current)) return;
  history[replace ? 'replaceState' : 'pushState'](null, '', url);
  change(next);
}

function urlOf(state) {
  const params = toParams(state);
  if (state.live) params.set('live', '1');
  const query = params.toString();
  return location.pathname + (query ? `?${query}` : '');
}

function change(next) {
  const earlier = current;
  current = next;
  for (const listener of listeners) listener(getState(), earlier);
}

globalThis.addEventListener?.('popstate', () => change(fromParams(new URLSearchParams(location.search))));
