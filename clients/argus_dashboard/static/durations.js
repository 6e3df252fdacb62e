// How long things took: exact counts on a log scale, and exact percentiles by type.

import { getJson } from './api.js';
import { axis, draw } from './charts.js';
import { durationEdges } from './buckets.js';
import { dataTable, element } from './dom.js';
import { colorOf, showCount, showDuration, showEvents } from './format.js';
import { setState, shortType } from './state.js';
import { formatDuration, parseDuration } from './time.js';

const LABEL_PX = 50;
const INT64_MAX = 2n ** 63n - 1n;
const PERCENTILES = ['p50DurationNs', 'p90DurationNs', 'p99DurationNs', 'maxDurationNs'];

/** The counts of each bar; types: the figures' rows, which have the least and the greatest duration. */
export async function loadDurations(params, types, { signal }) {
  const timed = types.filter((row) => row.maxDurationNs !== undefined);
  if (!timed.length) return { timed, edges: [], counts: [] };
  const least = Math.min(...timed.map((row) => row.minDurationNs));
  const most = Math.max(...timed.map((row) => row.maxDurationNs));
  const edges = durationEdges(least, most);
  const given = (name, otherwise) => (params.has(name) ? parseDuration(params.get(name)) : otherwise);
  const [lowest, highest] = [given('min_duration', 0n), given('max_duration', INT64_MAX)];
  const countBetween = async (start, end) => {
    const bounded = new URLSearchParams(params);
    // The outermost bars reach no further than the filters do.
    const [from, to] = [BigInt(start), BigInt(end) - 1n];
    bounded.set('min_duration', `${from > lowest ? from : lowest}ns`);
    bounded.set('max_duration', `${to < highest ? to : highest}ns`);
    bounded.set('by', 'event_type');
    bounded.set('measure', 'count');
    return (await getJson('/api/aggregate', bounded, { signal })).events;
  };
  const counts = await Promise.all(edges.slice(1).map((end, index) => countBetween(edges[index], end)));
  return { timed, edges, counts };
}

/** Draws what loadDurations() gave. */
export async function showDurations(panel, { timed, edges, counts }) {
  if (!timed.length) return panel.empty('No event here has a duration.');
  const total = counts.flat().reduce((sum, row) => sum + row.count, 0);
  const step = Math.ceil((edges.length * LABEL_PX) / panel.section.clientWidth);
  const marks = [...edges.keys()].filter((index) => index % step === 0);
  const traces = timed.map(({ eventType }) => ({
    type: 'bar',
    name: shortType(eventType),
    x: counts.map((_, index) => index + 0.5),
    y: counts.map((rows) => rows.find((row) => row.eventType === eventType)?.count ?? 0),
    text: counts.map((_, index) => `${showDuration(edges[index])} to ${showDuration(edges[index + 1])}`),
    textposition: 'none',
    marker: { color: colorOf(shortType(eventType)), line: { width: 0 } },
    hovertemplate: '%{text}: %{y:,}<extra>%{fullData.name}</extra>',
  }));
  panel.ready(`${showEvents(total)} with a duration. Drag over the chart to filter by duration.`, () => ({
    headings: ['From', 'Below', ...timed.map((row) => shortType(row.eventType))],
    rows: counts.map((_, index) => [
      showDuration(edges[index]),
      showDuration(edges[index + 1]),
      ...traces.map((trace) => showCount(trace.y[index])),
    ]),
    numbers: [0, 1, ...timed.map((_, index) => index + 2)],
  }));
  const chart = await draw(
    panel.body,
    traces,
    {
      barmode: 'stack',
      bargap: 0.06,
      dragmode: 'zoom',
      xaxis: axis({
        fixedrange: false,
        range: [0, counts.length],
        tickangle: 0,
        tickvals: marks,
        ticktext: marks.map((index) => showDuration(edges[index])),
        title: 'Duration (log scale)',
      }),
      yaxis: axis({ title: 'Events', tickformat: '~s' }),
    },
    'Durations: how many events in each range of a log scale, by type',
  );
  if (!chart.edges) chart.on('plotly_relayout', (change) => zoomTo(chart.edges, change));
  chart.edges = edges;
  panel.body.querySelector('.scroll')?.remove();
  panel.body.append(
    element(
      'div',
      { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Durations by type' },
      percentiles(timed, traces),
    ),
  );
  return undefined;
}

function percentiles(timed, traces) {
  const counts = traces.map((trace) => trace.y.reduce((sum, count) => sum + count, 0));
  const rows = timed.map((row, index) => [
    shortType(row.eventType),
    showCount(counts[index]),
    ...PERCENTILES.map((key) => showDuration(row[key])),
  ]);
  const table = dataTable(
    'Durations by type',
    ['Type', 'Events', 'p50', 'p90', 'p99', 'Max'],
    rows,
    [1, 2, 3, 4, 5],
  );
  table.classList.add('percentiles');
  table.querySelectorAll('tbody th').forEach((cell, index) => {
    const swatch = element('span', { className: 'swatch' });
    swatch.style.background = colorOf(shortType(timed[index].eventType));
    cell.prepend(swatch);
  });
  return table;
}

function zoomTo(edges, change) {
  const [low, high] = [change['xaxis.range[0]'], change['xaxis.range[1]']];
  if (low === undefined || high === undefined) return;
  const at = (index) => edges[Math.max(Math.min(index, edges.length - 1), 0)];
  const [least, below] = [at(Math.floor(low)), at(Math.ceil(high))];
  setState({ minDuration: formatDuration(BigInt(least)), maxDuration: formatDuration(BigInt(below - 1)) });
}
