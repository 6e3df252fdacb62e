// Instants as BigInt nanoseconds since the Unix epoch: a Date holds milliseconds only.

import { getSetting, setSetting } from './settings.js';

const NS_PER_MS = 1_000_000n;
export const NS_PER_S = 1_000_000_000n;
const UNITS_NS = {
  ns: 1n,
  us: 1_000n,
  µs: 1_000n,
  ms: NS_PER_MS,
  s: NS_PER_S,
  m: 60n * NS_PER_S,
  h: 3_600n * NS_PER_S,
  d: 86_400n * NS_PER_S,
};
const INSTANT =
  /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ]+(\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,9}))?)?)?\s*([Zz]|[+-]\d\d:\d\d)?$/;
const ZONE_KEY = 'argus-zone';

/** 'local' or 'utc': in which zone times are shown and read. */
export function getZone() {
  return getSetting(ZONE_KEY) === 'utc' ? 'utc' : 'local';
}

export function setZone(zone) {
  setSetting(ZONE_KEY, zone);
}

/** UTC, or local time with its offset at that instant: "UTC+01:00". */
export function zoneName(ns = BigInt(Date.now()) * NS_PER_MS) {
  if (getZone() === 'utc') return 'UTC';
  const minutes = offsetMinutes(ns);
  const sign = minutes < 0 ? '−' : '+';
  const pad = (number) => String(number).padStart(2, '0');
  return `UTC${sign}${pad(Math.floor(Math.abs(minutes) / 60))}:${pad(Math.abs(minutes) % 60)}`;
}

/** Minutes that the shown zone is ahead of UTC at that instant. */
export function offsetMinutes(ns) {
  return getZone() === 'utc' ? 0 : -new Date(Number(floorDiv(ns, NS_PER_MS))).getTimezoneOffset();
}

/** The nanoseconds of a time as people write it; without a zone it is in `zone`. Raises Error. */
export function parseInstant(text, zone = 'utc') {
  const match = INSTANT.exec(text.trim());
  if (!match) throw new Error(`“${text}” is not a time; write 2024-01-31, or 2024-01-31 08:30:00.5`);
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '', suffix] = match;
  const numbers = [year, month - 1, day, hour, minute, second].map(Number);
  const utc = new Date(0);
  utc.setUTCFullYear(numbers[0], numbers[1], numbers[2]);
  utc.setUTCHours(numbers[3], numbers[4], numbers[5]);
  const isReal = utc.getUTCMonth() === numbers[1] && utc.getUTCDate() === numbers[2] && numbers[3] < 24;
  if (!isReal || numbers[4] > 59 || numbers[5] > 59) throw new Error(`“${text}” is not a time that exists`);
  let ms = utc.getTime();
  if (suffix && suffix.toUpperCase() !== 'Z') {
    const [hours, minutes] = suffix.slice(1).split(':').map(Number);
    ms -= (suffix[0] === '-' ? -1 : 1) * (hours * 60 + minutes) * 60_000;
  } else if (!suffix && zone === 'local') {
    ms = new Date(...numbers).getTime();
  }
  return BigInt(ms) * NS_PER_MS + BigInt(fraction.padEnd(9, '0'));
}

/** RFC 3339 in UTC with 0, 3, 6 or 9 fractional digits: what the server takes and gives. */
export function formatInstant(ns) {
  const text = clock(ns).replace(' ', 'T');
  const fraction = fractionOf(ns).replace(/(000)+$/, '');
  return `${text}${fraction && `.${fraction}`}Z`;
}

/** Date and time in the shown zone, with that many fractional digits; null: as many as it needs. */
export function showInstant(ns, digits = null) {
  const fraction = digits === null ? fractionOf(ns).replace(/(000)+$/, '') : fractionOf(ns).slice(0, digits);
  return clock(ns + BigInt(offsetMinutes(ns)) * 60n * NS_PER_S) + (fraction && `.${fraction}`);
}

/** As plotly's date axes take it: a fixed offset, so that no hour is there twice. */
export function axisInstant(ns, fixedOffsetMinutes) {
  return `${clock(ns + BigInt(fixedOffsetMinutes) * 60n * NS_PER_S)}.${fractionOf(ns)}`;
}

/** Nanoseconds of 10ms, 1.5s or 1h30m. Raises Error. */
export function parseDuration(text) {
  const compact = text.replace(/\s/g, '');
  if (!/^(\d+(\.\d+)?(ns|us|µs|ms|s|m|h|d))+$/.test(compact)) {
    throw new Error(`“${text}” is not a duration; write 250us, 10ms, 1.5s or 15m`);
  }
  let total = 0n;
  for (const [, whole, fraction = '', unit] of compact.matchAll(/(\d+)(?:\.(\d+))?(ns|us|µs|ms|s|m|h|d)/g)) {
    total += BigInt(whole) * UNITS_NS[unit];
    if (fraction) total += (BigInt(fraction) * UNITS_NS[unit]) / 10n ** BigInt(fraction.length);
  }
  return total;
}

/** In the largest unit that it is a whole number of, as the server takes it: 20ms, 90s. */
export function formatDuration(ns) {
  const [unit, size] = Object.entries(UNITS_NS)
    .filter(([name, length]) => name !== 'µs' && ns % length === 0n)
    .at(ns === 0n ? 0 : -1);
  return `${ns / size}${unit}`;
}

/** Rounded down to a multiple of width, before the epoch too. */
export function floorTo(ns, width) {
  return floorDiv(ns, width) * width;
}

function floorDiv(ns, width) {
  const quotient = ns / width;
  return ns % width < 0n ? quotient - 1n : quotient;
}

function clock(ns) {
  return new Date(Number(floorDiv(ns, NS_PER_MS))).toISOString().slice(0, 19).replace('T', ' ');
}

function fractionOf(ns) {
  return String(ns - floorTo(ns, NS_PER_S)).padStart(9, '0');
}
