// The fields of the Export dialog, and the parameters of GET /export that they stand for.

import { ColumnPicker } from './column-picker.js';
import { element } from './dom.js';
import { shortType, toParams } from './state.js';
import { NS_PER_S, floorTo, formatInstant, getZone, parseDuration, parseInstant, showInstant, zoneName } from './time.js';

const FORMATS = { csv: 'CSV', json: 'JSON', jsonl: 'JSON Lines', parquet: 'Parquet' };
const TICKED_AT_FIRST = ['START', 'END', 'PINNED'];
const NO_TIME = { from: '', to: '', last: '' };

/** schema: what /api/columns answers. onChange is called after every change. */
export class ExportForm {
  constructor(state, schema, onChange) {
    this.state = state;
    const input = (type, properties) => element('input', { type, onchange: onChange, ...properties });
    this.formats = Object.entries(FORMATS).map(([value]) => input('radio', { name: 'format', value, checked: value === 'csv', autofocus: value === 'csv' }));
    const range = timeRange(state);
    this.from = timeField('From', 'from', shown(range.from), 'the first event', onChange);
    this.to = timeField('To', 'to', shown(range.to), 'the last event', onChange);
    const ticked = state.types.length ? state.types.map(shortType) : TICKED_AT_FIRST;
    this.types = schema.eventTypes.map(({ shortName }) => input('checkbox', { name: 'type', value: shortName, checked: ticked.includes(shortName) }));
    this.typesWrong = wrongLine('types-wrong');
    this.filters = otherFilters(state).map(({ text, unset }) => ({ text, unset, box: input('checkbox', { checked: true }) }));
    this.gzip = input('checkbox', { name: 'gzip' });
    this.excel = input('checkbox', { name: 'excel' });
    this.columnsSummary = element('b');
    this.picker = new ColumnPicker(schema.columns, () => {
      this.columnsSummary.textContent = columnsSummary(this.picker);
      onChange();
    });
    this.columnsSummary.textContent = columnsSummary(this.picker);
    this.elements = this.#lay();
  }

  get format() {
    return this.formats.find((radio) => radio.checked).value;
  }

  /** The parameters, or null when a field does not fit: that is said beside it then. */
  read() {
    const { format } = this;
    this.excel.disabled = format !== 'csv';
    this.gzip.disabled = format === 'parquet';
    const from = readTime(this.from);
    const to = readTime(this.to);
    const types = this.types.filter((box) => box.checked).map((box) => box.value);
    const isBackwards = from.ns !== null && to.ns !== null && from.ns >= to.ns;
    if (isBackwards) say(this.to, 'To must be after From.');
    this.typesWrong.textContent = types.length ? '' : 'Tick at least one type.';
    this.typesWrong.hidden = types.length > 0;
    if (from.isWrong || to.isWrong || isBackwards || !types.length) return null;
    const params = new URLSearchParams({ format });
    if (from.ns !== null) params.set('from', formatInstant(from.ns));
    if (to.ns !== null) params.set('to', formatInstant(to.ns));
    if (types.length < this.types.length) params.set('type', types.join(','));
    for (const [name, value] of toParams(this.#filtersKept())) params.append(name, value);
    if (!this.picker.isDefault) params.set('columns', this.picker.names.join(','));
    if (this.gzip.checked && !this.gzip.disabled) params.set('compress', 'gzip');
    if (this.excel.checked && !this.excel.disabled) params.set('excel', 'true');
    return params;
  }

  /** Says a refusal of the server beside its field; what has none is returned, as text. */
  tell(errors) {
    const fields = { from: this.from, to: this.to };
    const others = [];
    for (const { parameter, detail } of errors) {
      if (fields[parameter]) say(fields[parameter], detail);
      else others.push(`${parameter}: ${detail}`);
    }
    return others.join('\n');
  }

  #filtersKept() {
    const unset = this.filters.filter(({ box }) => !box.checked).map((filter) => filter.unset);
    return Object.assign({}, this.state, NO_TIME, { types: [] }, ...unset);
  }

  #lay() {
    const tick = (box, text, hint) => element('label', { className: 'tick' }, box, element('span', { text }), ...(hint ? [element('small', { text: hint })] : []));
    const setAll = (checked) => () => {
      for (const box of this.types) box.checked = checked;
      this.types[0].dispatchEvent(new Event('change'));
    };
    const all = (text, checked) => element('button', { type: 'button', className: 'quiet', text, onclick: setAll(checked), 'aria-label': `${text} event types` });
    return [
      group('Format', ...this.formats.map((radio) => tick(radio, FORMATS[radio.value]))),
      group(`Time range (${getZone() === 'utc' ? 'UTC' : `local time, ${zoneName()}`})`, this.from.element, this.to.element),
      group('Event types', ...this.types.map((box) => tick(box, box.value)), all('All', true), all('None', false), this.typesWrong),
      ...(this.filters.length ? [group('The page’s other filters', ...this.filters.map(({ box, text }) => tick(box, text)))] : []),
      group('File', tick(this.gzip, 'gzip', 'a .gz file'), tick(this.excel, 'Excel-safe', 'CSV that Excel reads as it is')),
      element('details', { className: 'columns' }, element('summary', {}, 'Columns: ', this.columnsSummary), this.picker.element),
    ];
  }
}

function columnsSummary(picker) {
  const total = picker.byName.size;
  return `${picker.names.length} of ${total}${picker.isDefault ? ', the default ones' : ''}`;
}

/** From and to as RFC 3339. What the page shows up to now ends now, so that count and file are of the same. */
function timeRange({ from, to, last }) {
  if (!last) return { from, to };
  const nowNs = floorTo(BigInt(Date.now()) * 1_000_000n, NS_PER_S) + NS_PER_S;
  return { from: formatInstant(nowNs - parseDuration(last)), to: to || formatInstant(nowNs) };
}

function shown(text) {
  try {
    return text && showInstant(parseInstant(text));
  } catch {
    return text; // The field says then what is wrong with it.
  }
}

function otherFilters(state) {
  const several = (what, key) => (state[key]?.length ? [{ text: `${what} ${state[key].join(', ')}`, unset: { [key]: [] } }] : []);
  const single = (what, key) => (state[key] ? [{ text: `${what} ${state[key]}`, unset: { [key]: '' } }] : []);
  const fits = { contains: 'contains', glob: 'fits', regex: 'matches' }[state.threadNameMode];
  return [
    ...several('Source', 'sources'),
    ...single(`Thread name ${fits}`, 'threadName'),
    ...single('Took at least', 'minDuration'),
    ...single('Took at most', 'maxDuration'),
    ...several('Thread', 'threadIds'),
    ...several('Carrier thread', 'carrierThreads'),
  ];
}

function group(title, ...children) {
  return element('fieldset', {}, element('legend', { text: title }), element('div', { className: 'choices' }, ...children));
}

function timeField(title, name, value, open, onchange) {
  const wrong = wrongLine(`export-${name}-wrong`);
  const input = element('input', {
    name,
    value,
    placeholder: open,
    size: 23,
    spellcheck: false,
    autocomplete: 'off',
    oninput: onchange,
    'aria-describedby': wrong.id,
  });
  return { input, wrong, element: element('label', { className: 'time' }, element('span', { text: title }), input, wrong) };
}

function wrongLine(id) {
  return element('p', { className: 'wrong', id, hidden: true, role: 'alert' });
}

function readTime(field) {
  const { value } = field.input;
  try {
    say(field, '');
    return { ns: value.trim() ? parseInstant(value, getZone()) : null, isWrong: false };
  } catch (error) {
    say(field, error.message);
    return { ns: null, isWrong: true };
  }
}

function say({ input, wrong }, text) {
  wrong.textContent = text;
  wrong.hidden = !text;
  // app.css goes by the attribute being there.
  if (text) input.setAttribute('aria-invalid', 'true');
  else input.removeAttribute('aria-invalid');
}
