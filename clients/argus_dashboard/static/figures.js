// The strip of figures: one grouped query by event type, and the plan's total.

import { byId, element } from './dom.js';
import { showCount, showDuration, showPercent } from './format.js';
import { shortType } from './state.js';

const FIGURE_MEASURES = [
  'count',
  ...['sum', 'min', 'p50', 'p90', 'p99', 'max'].map((name) => `${name}:duration_ns`),
  'avg:cpu_jvm_user',
  'avg:cpu_jvm_system',
  'avg:cpu_machine_total',
];

const NONE = '–';

/** Those of FIGURE_MEASURES that measures, of /api/columns, has. */
export function figureMeasures(measures) {
  return FIGURE_MEASURES.filter((measure) => measures.includes(measure));
}

/** plan: of /api/plan; rows: figureMeasures() by event type; types: what the filter lets
 * through; offered: what the person's role does. */
export function showFigures(plan, rows, types, offered) {
  const of = (type) => rows.find((row) => shortType(row.eventType) === type);
  const isIn = (type) => offered.includes(type) && (!types.length || types.includes(type));
  const count = (type) => (isIn(type) ? showCount(of(type)?.count ?? 0) : NONE);
  const note = (type, text) => {
    if (isIn(type)) return text;
    return offered.includes(type) ? 'not in the filter' : 'not shown to you';
  };
  const [pinned, gc, cpu] = [of('PINNED'), of('GC_PAUSE'), of('CPU_LOAD')];
  const hasCpu = cpu?.avgCpuJvmUser !== undefined;
  const figures = [
    ['total', 'Events', showCount(plan.totalEvents), ''],
    ['started', 'Started', count('START'), note('START', 'virtual threads')],
    [
      'ended',
      'Ended',
      count('END'),
      note('END', of('END') ? `half within ${showDuration(of('END').p50DurationNs)}` : 'virtual threads'),
    ],
    [
      'pinned',
      'Pinned',
      count('PINNED'),
      note(
        'PINNED',
        pinned?.sumDurationNs === undefined ? '' : `${showDuration(pinned.sumDurationNs)} in all`,
      ),
    ],
    ['failed', 'Submit failed', count('SUBMIT_FAILED'), note('SUBMIT_FAILED', '')],
    [
      'p99-pinned',
      'p99 pinned',
      pinned?.p99DurationNs === undefined ? NONE : showDuration(pinned.p99DurationNs),
      pinned?.maxDurationNs === undefined
        ? note('PINNED', '')
        : `longest ${showDuration(pinned.maxDurationNs)}`,
    ],
    [
      'gc',
      'GC pauses',
      count('GC_PAUSE'),
      note('GC_PAUSE', gc?.maxDurationNs === undefined ? '' : `longest ${showDuration(gc.maxDurationNs)}`),
    ],
    [
      'cpu',
      'JVM CPU',
      hasCpu ? showPercent(cpu.avgCpuJvmUser + (cpu.avgCpuJvmSystem ?? 0)) : NONE,
      cpu?.avgCpuMachineTotal === undefined
        ? note('CPU_LOAD', '')
        : `machine ${showPercent(cpu.avgCpuMachineTotal)}`,
    ],
  ];
  for (const [id, name, value, hint] of figures) showFigure(id, name, value, hint);
}

export function showTotal(total) {
  byId('figure-total').querySelector('.value').textContent = showCount(total);
}

function showFigure(id, name, value, hint) {
  let figure = byId(`figure-${id}`);
  if (!figure) {
    figure = element(
      'div',
      { id: `figure-${id}`, className: 'figure' },
      element('dt', { text: name }),
      element('dd', { className: 'value' }),
      element('dd', { className: 'hint' }),
    );
    byId('figures').append(figure);
  }
  const [shown, small] = figure.querySelectorAll('dd');
  shown.textContent = value;
  small.textContent = hint;
  figure.classList.toggle('bad', id === 'failed' && value !== '0' && value !== NONE);
}
