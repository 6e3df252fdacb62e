// Where virtual threads were pinned: the stacks, most pinned time first.

import { element } from './dom.js';
import { showCount, showDuration, showEvents } from './format.js';

const MAX_SHOWN = 10;
// Frames of the JDK's own machinery say nothing about whose code it was.
const MACHINERY = /^(java|javax|jdk|sun)\.|\$\$Lambda/;

/** rows: [{stack, stackExample, count, sumDurationNs, p99DurationNs}]; totalGroups: how many there are. */
export function showStacks(panel, rows, totalGroups) {
  if (!rows.length) return panel.empty('No virtual thread was pinned here.');
  const open = new Set(
    [...panel.body.querySelectorAll('button[aria-expanded=true]')].map((button) => button.dataset.stack),
  );
  const top = [...rows]
    .sort((a, b) => (b.sumDurationNs ?? 0) - (a.sumDurationNs ?? 0) || b.count - a.count)
    .slice(0, MAX_SHOWN);
  const most = top[0].sumDurationNs || 1;
  const heading = (text, className) => element('th', { text, scope: 'col', className });
  const table = element(
    'table',
    { className: 'stacks' },
    element('caption', {
      className: 'unseen',
      text: 'Pinned stacks, most pinned time first. The button of each shows the whole stack.',
    }),
    element(
      'thead',
      {},
      element(
        'tr',
        {},
        heading('Stack'),
        heading('Pinned', 'number'),
        heading('Total', 'number'),
        heading('p99', 'number'),
      ),
    ),
    element('tbody', {}, ...top.flatMap((row) => rowsOf(row, most, open.has(row.stack)))),
  );
  panel.body.replaceChildren(
    element(
      'div',
      { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': 'Top pinned stacks' },
      table,
    ),
  );
  const pinned = rows.reduce((sum, row) => sum + row.count, 0);
  const read =
    rows.length < totalGroups
      ? ` Only ${showCount(rows.length)} of ${showCount(totalGroups)} stacks were looked at; narrow the filters.`
      : '';
  const stacks = `${showCount(totalGroups)} stack${totalGroups === 1 ? '' : 's'}`;
  const cut = top.length < rows.length ? `, the top ${top.length} shown` : '';
  panel.ready(`${showEvents(pinned)} in ${stacks}${cut}.${read}`);
  return undefined;
}

function rowsOf(row, most, isOpen) {
  const frames = (row.stackExample ?? '').split('\n').filter(Boolean);
  const id = `stack-${row.stack ?? 'none'}`;
  const own = frames.filter((frame) => !MACHINERY.test(frame));
  const title = own.join(' ← ') || frames[0] || 'No stack';
  const button = element(
    'button',
    { type: 'button', className: 'expand', 'aria-expanded': String(isOpen), 'aria-controls': id, title },
    element('span', { text: title }),
  );
  button.dataset.stack = row.stack ?? '';
  const whole = element(
    'tr',
    { id, className: 'whole', hidden: !isOpen },
    element(
      'td',
      { colSpan: 4 },
      element('pre', { text: frames.join('\n') || 'These events carry no stack.', tabIndex: 0 }),
    ),
  );
  button.addEventListener('click', () => {
    whole.hidden = !whole.hidden;
    button.setAttribute('aria-expanded', String(!whole.hidden));
  });
  const bar = element('span', { className: 'bar', 'aria-hidden': 'true' });
  bar.style.inlineSize = `${(100 * (row.sumDurationNs ?? 0)) / most}%`;
  const duration = (ns) =>
    element('td', { className: 'number', text: ns === undefined ? '' : showDuration(ns) });
  const line = element(
    'tr',
    {},
    element('td', {}, button, bar),
    element('td', { className: 'number', text: showCount(row.count) }),
    duration(row.sumDurationNs),
    duration(row.p99DurationNs),
  );
  return [line, whole];
}
