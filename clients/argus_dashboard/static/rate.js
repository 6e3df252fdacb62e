// Events per second by type over time; dragging sets the time range.

import { axis, draw } from './charts.js';
import { bucketWidth, wholeBuckets } from './buckets.js';
import { colorOf, showCount, showDuration, showEvents } from './format.js';
import { setState, shortType } from './state.js';
import {
  NS_PER_S,
  axisInstant,
  floorTo,
  formatInstant,
  offsetMinutes,
  parseInstant,
  showInstant,
  zoneName,
} from './time.js';

let shown = null;

/** How the bars over [start, end) are cut, by the room that there is. */
export function timeScale(start, end, roomPx) {
  const width = bucketWidth(start, end, Math.max(Math.min(Math.floor(roomPx / 8), 160), 30));
  return { ...wholeBuckets(start, end, width), width, offset: offsetMinutes(end) };
}

/** The settings of an axis over a time scale. */
export function timeAxis(scale, settings = {}) {
  const range = [axisInstant(scale.start, scale.offset), axisInstant(scale.end, scale.offset)];
  return axis({ type: 'date', range, title: `Time (${zoneName(scale.end)})`, tickangle: 0, ...settings });
}

/** rows: [{time, eventType, count}]. Returns how many events the bars hold together. */
export async function showRate(panel, rows, scale, types) {
  const seconds = Number(scale.width) / Number(NS_PER_S);
  const total = rows.reduce((sum, row) => sum + row.count, 0);
  const size = showDuration(Number(scale.width));
  const traces = types
    .map((type) => ({ type, rows: rows.filter((row) => shortType(row.eventType) === type) }))
    .filter((trace) => trace.rows.length)
    .map((trace) => ({
      type: 'bar',
      name: trace.type,
      x: trace.rows.map((row) => axisInstant(parseInstant(row.time), scale.offset)),
      y: trace.rows.map((row) => row.count / seconds),
      customdata: trace.rows.map((row) => row.count),
      width: Number(scale.width) / 1e6,
      offset: 0,
      marker: { color: colorOf(trace.type), line: { width: 0 } },
      hovertemplate: '%{y:,.3~s}/s (%{customdata:,})',
    }));
  panel.ready(`${showEvents(total)}; a bar is ${size}. Drag over the chart to zoom in.`, () =>
    asTable(rows, scale),
  );
  const chart = await draw(
    panel.body,
    traces,
    {
      barmode: 'stack',
      dragmode: 'zoom',
      hovermode: 'x unified',
      xaxis: timeAxis(scale, { fixedrange: false, title: `Time (${zoneName(scale.end)}), ${size} a bar` }),
      yaxis: axis({ title: 'Events/s', rangemode: 'tozero', tickformat: '~s' }),
    },
    `Events per second by type, stacked, from ${showInstant(scale.start)} to ${showInstant(scale.end)}`,
  );
  if (!shown) chart.on('plotly_relayout', zoomTo);
  shown = scale;
  return total;
}

/** Moves the shown range by so many of its lengths, and makes it `factor` times as long. */
export function changeRange(move, factor) {
  if (!shown) return;
  const span = Number(shown.end - shown.start);
  const middle = shown.start + BigInt(Math.round(span * (0.5 + move)));
  const half = BigInt(Math.max(Math.round((span * factor) / 2), 5_000));
  setRange(middle - half, middle + half);
}

// Whole bars, so that the new range holds exactly what the bars showed.
function zoomTo(change) {
  const [low, high] = [change['xaxis.range[0]'], change['xaxis.range[1]']];
  if (low === undefined || high === undefined) return;
  const toNs = (text) => parseInstant(String(text)) - BigInt(shown.offset) * 60n * NS_PER_S;
  const start = floorTo(toNs(low), shown.width);
  const end = floorTo(toNs(high) - 1n, shown.width) + shown.width;
  setRange(start, end);
}

function setRange(start, end) {
  setState({ from: formatInstant(start), to: formatInstant(end), last: '', live: false });
}

function asTable(rows, scale) {
  return {
    headings: [`Time (${zoneName(scale.end)})`, 'Type', 'Events'],
    rows: rows.map((row) => [
      showInstant(parseInstant(row.time)),
      shortType(row.eventType),
      showCount(row.count),
    ]),
    numbers: [2],
  };
}
