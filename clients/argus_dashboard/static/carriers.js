// What the carrier threads did when: a row each, darker where more events are.

import { axis, draw } from './charts.js';
import { showCount, showDuration, showEvents, style } from './format.js';
import { timeAxis } from './rate.js';
import { axisInstant, parseInstant, showInstant, zoneName } from './time.js';

const MAX_CARRIERS = 64;

/** rows: [{time, carrierThread, count}], those without a carrier too. */
export async function showCarriers(panel, rows, scale) {
  const carried = rows.filter((row) => row.carrierThread !== undefined);
  if (!carried.length) return panel.empty('No event here names its carrier thread.');
  const totals = new Map();
  for (const row of carried) totals.set(row.carrierThread, (totals.get(row.carrierThread) ?? 0) + row.count);
  const busiest = [...totals]
    .sort((a, b) => b[1] - a[1])
    .slice(0, MAX_CARRIERS)
    .map(([carrier]) => carrier);
  const carriers = busiest.sort((a, b) => a - b);
  const starts = [];
  for (let at = scale.start; at < scale.end; at += scale.width) starts.push(at);
  const counts = new Map(carried.map((row) => [`${row.carrierThread} ${parseInstant(row.time)}`, row.count]));
  const trace = {
    type: 'heatmap',
    x: starts.map((at) => axisInstant(at + scale.width / 2n, scale.offset)),
    y: carriers.map(String),
    z: carriers.map((carrier) => starts.map((at) => counts.get(`${carrier} ${at}`) ?? null)),
    colorscale: [
      [0, style('--heat-low')],
      [1, style('--heat-high')],
    ],
    zmin: 0,
    zmax: Math.max(...carried.map((row) => row.count)),
    ygap: 2,
    colorbar: { thickness: 8, outlinewidth: 0, tickformat: '~s', nticks: 5, len: 1.1, x: 1.01, xpad: 4 },
    hovertemplate: 'Carrier %{y}: %{z:,} in this bar<extra></extra>',
  };
  const layout = {
    xaxis: timeAxis(scale, { showgrid: false }),
    yaxis: axis({ type: 'category', showgrid: false, title: 'Carrier thread ID' }),
  };
  const total = carried.reduce((sum, row) => sum + row.count, 0);
  const rest =
    totals.size > carriers.length ? `; the busiest ${carriers.length} of ${showCount(totals.size)}` : '';
  panel.ready(
    `${showEvents(total)} on ${showCount(carriers.length)} carriers${rest}; a cell is ${showDuration(Number(scale.width))}.`,
    () => ({
      headings: [`Time (${zoneName(scale.end)})`, 'Carrier thread ID', 'Events'],
      rows: carried.map((row) => [
        showInstant(parseInstant(row.time)),
        String(row.carrierThread),
        showCount(row.count),
      ]),
      numbers: [1, 2],
    }),
  );
  await draw(panel.body, [trace], layout, 'Events by carrier thread and time');
  return undefined;
}
