// Heap in use and committed, and under it the GC pauses, on one time axis.

import { axis, draw, escapeHtml } from './charts.js';
import { colorOf, showBytes, showCount, showDuration, style } from './format.js';
import { timeAxis } from './rate.js';
import { axisInstant, parseInstant, showInstant, zoneName } from './time.js';

export const HEAP_TYPES = ['GC_PAUSE', 'GC_HEAP_SUMMARY'];
export const HEAP_MEASURES = [
  'max:heap_used_before_bytes',
  'max:heap_used_after_bytes',
  'max:heap_committed_bytes',
  'max:duration_ns',
];

// How the sources are told apart, where there are several.
const DASHES = ['solid', 'dot', 'dash'];
const DASH_NAMES = ['solid', 'dotted', 'dashed'];
const LINES = [
  { key: 'maxHeapCommittedBytes', name: 'committed', color: '--muted', shape: 'hv' },
  { key: 'maxHeapUsedBeforeBytes', name: 'used before GC', color: '--type-gc-heap-summary', shape: 'linear' },
  { key: 'maxHeapUsedAfterBytes', name: 'used after GC', color: '--type-gc-pause', shape: 'linear' },
];

/** rows: [{time, source, max…Bytes, maxDurationNs}]: the greatest of each bar. */
export async function showHeap(panel, rows, scale) {
  if (!rows.length) return panel.empty('No GC events here.');
  const all = [...new Set(rows.map((row) => row.source))].sort();
  const sources = all.slice(0, DASHES.length);
  const x = (some) => some.map((row) => axisInstant(parseInstant(row.time) + scale.width / 2n, scale.offset));
  const label = (name, source) => escapeHtml(all.length > 1 ? `${name}, ${source ?? 'no source'}` : name);
  const traces = sources.flatMap((source, index) => {
    const own = rows.filter((row) => row.source === source);
    const lines = LINES.map((line) => {
      const points = own.filter((row) => row[line.key] !== undefined);
      return {
        type: 'scatter',
        mode: 'lines+markers',
        name: line.name,
        x: x(points),
        y: points.map((row) => row[line.key]),
        customdata: points.map((row) => showBytes(row[line.key])),
        showlegend: index === 0,
        legendgroup: line.name,
        line: { color: style(line.color), dash: DASHES[index], width: 1.6, shape: line.shape },
        marker: { size: 5, color: style(line.color) },
        hovertemplate: `%{customdata}<extra>${label(line.name, source)}</extra>`,
      };
    });
    const pauses = own.filter((row) => row.maxDurationNs !== undefined);
    return [
      ...lines,
      {
        type: 'bar',
        name: label('longest pause', source),
        showlegend: false,
        x: x(pauses),
        y: pauses.map((row) => row.maxDurationNs / 1e6),
        customdata: pauses.map((row) => showDuration(row.maxDurationNs)),
        width: Math.max(Number(scale.width) / 1e6, Number(scale.end - scale.start) / 1e6 / 150),
        yaxis: 'y2',
        marker: { color: colorOf('GC_PAUSE'), line: { width: 0 } },
        hovertemplate: '%{customdata}',
      },
    ];
  });
  const layout = {
    hovermode: 'x unified',
    showlegend: true,
    legend: {
      orientation: 'h',
      x: 0,
      y: 1.02,
      yanchor: 'bottom',
      font: { size: 11 },
      itemclick: false,
      itemdoubleclick: false,
    },
    barmode: 'overlay',
    xaxis: timeAxis(scale, { anchor: 'y2' }),
    yaxis: axis({ domain: [0.36, 1], rangemode: 'tozero', tickformat: '~s', ticksuffix: 'B', nticks: 5 }),
    yaxis2: axis({ domain: [0, 0.26], rangemode: 'tozero', ticksuffix: ' ms', nticks: 3 }),
  };
  const dashes =
    sources.length > 1
      ? ` Lines: ${sources.map((source, index) => `${source ?? 'no source'} ${DASH_NAMES[index]}`).join(', ')}.`
      : '';
  const rest =
    all.length > sources.length
      ? ` ${sources.length} of ${all.length} sources are drawn; filter by source for the others.`
      : '';
  panel.ready(`The greatest value in each ${showDuration(Number(scale.width))}.${dashes}${rest}`, () => ({
    headings: [
      `Time (${zoneName(scale.end)})`,
      'Source',
      'Used before',
      'Used after',
      'Committed',
      'Longest pause',
    ],
    rows: rows.map((row) => [
      showInstant(parseInstant(row.time)),
      row.source ?? '',
      ...['maxHeapUsedBeforeBytes', 'maxHeapUsedAfterBytes', 'maxHeapCommittedBytes'].map((key) =>
        row[key] === undefined ? '' : `${showCount(row[key])} B`,
      ),
      row.maxDurationNs === undefined ? '' : showDuration(row.maxDurationNs),
    ]),
    numbers: [2, 3, 4, 5],
  }));
  await draw(
    panel.body,
    traces,
    layout,
    'Heap used before and after collections, heap committed, and GC pauses over time',
  );
  return undefined;
}
