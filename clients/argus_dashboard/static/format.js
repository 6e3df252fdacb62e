// Numbers for people, and the types' colours.

const COUNT = new Intl.NumberFormat('en');
const THREE_DIGITS = new Intl.NumberFormat('en', { maximumSignificantDigits: 3 });
const DURATIONS = [
  ['d', 86_400e9],
  ['h', 3_600e9],
  ['min', 60e9],
  ['s', 1e9],
  ['ms', 1e6],
  ['µs', 1e3],
  ['ns', 1],
];
const BYTES = [
  ['TB', 1e12],
  ['GB', 1e9],
  ['MB', 1e6],
  ['kB', 1e3],
  ['B', 1],
];

export function showCount(number) {
  return COUNT.format(number);
}

/** events(1) is "1 event". */
export function showEvents(number) {
  return `${showCount(number)} event${number === 1 ? '' : 's'}`;
}

export function showDuration(ns) {
  return scaled(ns, DURATIONS);
}

export function showBytes(bytes) {
  return scaled(bytes, BYTES);
}

export function showPercent(ratio) {
  return `${THREE_DIGITS.format(ratio * 100)} %`;
}

function scaled(value, units) {
  const [name, size] = units.find(([, least]) => Math.abs(value) >= least) ?? units.at(-1);
  return `${THREE_DIGITS.format(value / size)} ${name}`;
}

/** The value of a custom property of the page's style, which differs by theme. */
export function style(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

/** The custom property that holds a type's colour; the same in every chart, chip and row. */
export function colorName(shortName) {
  return `--type-${shortName.toLowerCase().replaceAll('_', '-')}`;
}

export function colorOf(shortName) {
  return style(colorName(shortName)) || style('--muted');
}
