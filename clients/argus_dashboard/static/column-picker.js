// Which columns an export has, and in which order: by pointer, by buttons, and with Alt+↑ and Alt+↓.

import { element } from './dom.js';

/** columns: those of /api/columns. onChange is called after every change. */
export class ColumnPicker {
  constructor(columns, onChange) {
    this.byName = new Map(columns.map((column) => [column.name, column]));
    this.defaults = columns.filter((column) => column.isDefault).map((column) => column.name);
    this.onChange = onChange;
    this.list = element('ol', { className: 'chosen-columns' });
    this.rest = element('div', { className: 'more-columns', role: 'group', 'aria-label': 'Columns to add' });
    this.said = element('p', { className: 'unseen', role: 'status' });
    this.element = element(
      'div',
      { className: 'column-picker' },
      this.list,
      element(
        'div',
        { className: 'column-side' },
        element('p', { className: 'hint', text: 'Add at the end:' }),
        this.rest,
        element(
          'div',
          { className: 'buttons' },
          button('All columns', () => this.set([...this.names, ...this.#unchosen()])),
          button('Default columns', () => this.set(this.defaults)),
        ),
      ),
      this.said,
    );
    this.#dragOver();
    this.names = this.defaults;
    this.#draw();
  }

  get isDefault() {
    return String(this.names) === String(this.defaults);
  }

  set(names) {
    this.names = [...names];
    this.#draw();
    this.onChange();
  }

  add(name) {
    const after = this.#unchosen().indexOf(name);
    this.set([...this.names, name]);
    this.#say(name, `added as number ${this.names.length}`);
    (this.rest.children[after] ?? this.rest.lastElementChild ?? this.list.lastElementChild.firstElementChild).focus();
  }

  remove(name) {
    const place = this.names.indexOf(name);
    this.set(this.names.filter((other) => other !== name));
    this.#say(name, 'taken out');
    const next = this.list.children[Math.min(place, this.names.length - 1)];
    (next.querySelector('.remove:enabled') ?? next.querySelector('.column-name')).focus();
  }

  /** To the place of another, counted from 0; a place that there is not leaves it where it is. */
  move(name, place, focused = '.column-name') {
    if (place < 0 || place >= this.names.length) return;
    const names = this.names.filter((other) => other !== name);
    names.splice(place, 0, name);
    this.set(names);
    this.#say(name, `is number ${place + 1} of ${names.length}`);
    const row = this.list.children[place];
    (row.querySelector(`${focused}:not(:disabled)`) ?? row.querySelector('.column-name')).focus();
  }

  #unchosen() {
    return [...this.byName.keys()].filter((name) => !this.names.includes(name));
  }

  #say(name, what) {
    this.said.textContent = `${this.byName.get(name).title}: ${what}`;
  }

  #draw() {
    this.list.replaceChildren(...this.names.map((name, place) => this.#row(this.byName.get(name), place)));
    this.rest.replaceChildren(
      ...this.#unchosen().map((name) => {
        const { title, description, isRedacted } = this.byName.get(name);
        return button(isRedacted ? `${title} (hidden)` : title, () => this.add(name), { title: `${name}: ${description}`, 'aria-label': `Add ${title}` });
      }),
    );
  }

  #row({ name, title, description, isRedacted }, place) {
    const label = element(
      'span',
      { className: 'column-name', tabIndex: 0, title: description, role: 'group', 'aria-label': `${title}. Alt and the arrow keys move it.` },
      element('span', { text: title }),
      element('code', { text: name }),
      ...(isRedacted ? [element('small', { className: 'redacted', text: 'hidden from your role: empty' })] : []),
    );
    const row = element(
      'li',
      { draggable: true },
      label,
      button('↑', () => this.move(name, place - 1, '.up'), { className: 'quiet up', disabled: place === 0, 'aria-label': `Move ${title} up` }),
      button('↓', () => this.move(name, place + 1, '.down'), { className: 'quiet down', disabled: place === this.names.length - 1, 'aria-label': `Move ${title} down` }),
      button('×', () => this.remove(name), { className: 'quiet remove', disabled: this.names.length === 1, 'aria-label': `Take out ${title}` }),
    );
    row.addEventListener('keydown', (event) => {
      const by = { ArrowUp: -1, ArrowDown: 1 }[event.key];
      if (!event.altKey || !by) return;
      event.preventDefault();
      this.move(name, place + by);
    });
    row.addEventListener('dragstart', (event) => {
      this.dragged = name;
      event.dataTransfer.effectAllowed = 'move';
      event.dataTransfer.setData('text/plain', name);
    });
    row.addEventListener('dragend', () => (this.dragged = null));
    return row;
  }

  #dragOver() {
    const target = (event) => [...this.list.children].indexOf(event.target.closest('li'));
    this.list.addEventListener('dragover', (event) => {
      if (this.dragged && target(event) >= 0) event.preventDefault();
    });
    this.list.addEventListener('drop', (event) => {
      if (!this.dragged || target(event) < 0) return;
      event.preventDefault();
      this.move(this.dragged, target(event));
    });
  }
}

function button(text, onclick, properties = {}) {
  return element('button', { type: 'button', className: 'quiet', text, onclick, ...properties });
}
