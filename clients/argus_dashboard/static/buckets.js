// Which widths the bars have. Pure.

import { NS_PER_S, floorTo } from './time.js';

const DAY_NS = 86_400n * NS_PER_S;
const NICE_NS = [
  ...[1_000n, 10_000n, 100_000n, 1_000_000n, 10_000_000n, 100_000_000n].flatMap((ns) => [
    ns,
    2n * ns,
    5n * ns,
  ]),
  ...[
    1n,
    2n,
    5n,
    10n,
    15n,
    30n,
    60n,
    120n,
    300n,
    600n,
    900n,
    1800n,
    3600n,
    7200n,
    10_800n,
    21_600n,
    43_200n,
  ].map((s) => s * NS_PER_S),
  ...[1n, 2n, 7n, 14n, 28n].map((days) => days * DAY_NS),
];

/** The width of about `bars` bars over [start, end), a round one; 1 µs at least. */
export function bucketWidth(start, end, bars) {
  const least = (end - start) / BigInt(bars);
  return NICE_NS.find((width) => width >= least) ?? (least / DAY_NS + 1n) * DAY_NS;
}

/** The range that the bars of [start, end) cover: whole buckets. */
export function wholeBuckets(start, end, width) {
  return { start: floorTo(start, width), end: floorTo(end - 1n, width) + width };
}

/** Edges of some ten bars for durations from min to max, in ns: round, evenly spread on a log scale. */
export function durationEdges(minNs, maxNs) {
  const low = Math.max(minNs, 1);
  const decades = Math.log10(Math.max(maxNs, low) / low);
  const steps = decades > 7 ? [1] : decades > 4 ? [1, 3] : [1, 2, 5];
  const marks = [];
  for (let power = 1; power <= 1e19; power *= 10) marks.push(...steps.map((step) => step * power));
  const first = Math.max(
    marks.findLastIndex((mark) => mark <= low),
    0,
  );
  const last = marks.findIndex((mark) => mark > maxNs);
  const edges = marks.slice(first, last + 1);
  return minNs < 1 ? [0, ...edges] : edges;
}
