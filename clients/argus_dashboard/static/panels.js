// A part of the page that shows one answer: its states, its caption, and the same data as a table.

import { byId, dataTable, element } from './dom.js';

export class Panel {
  #state = element('p', { className: 'state' });
  #data = element('details', { className: 'data', hidden: true }, element('summary', { text: 'As a table' }));
  #makeTable = null;

  constructor(id) {
    this.section = byId(id);
    this.body = element('div', { className: 'body' });
    this.caption = element('p', { className: 'caption' });
    this.section.append(this.#state, this.body, this.caption, this.#data);
    // Made when it is looked at: most never are.
    this.#data.addEventListener('toggle', () => this.#fillTable());
    this.loading();
  }

  /** Keeps what is there, dimmed, until the answer comes. */
  loading() {
    this.section.setAttribute('aria-busy', 'true');
    if (!this.section.dataset.state) this.#show('loading', 'Loading…');
  }

  /** A chart or a table is in the body; caption says in words what it shows. */
  ready(caption, table = null) {
    this.#show('ready', '');
    this.caption.textContent = caption;
    this.#makeTable = table;
    this.#data.hidden = !table;
    this.#fillTable();
  }

  empty(text) {
    this.#show('empty', text);
  }

  fail(problem) {
    this.#show('error', `${problem.title}${problem.detail ? `: ${problem.detail}` : ''}`);
  }

  /** The answer does not come: what is there stays. */
  giveUp() {
    this.section.setAttribute('aria-busy', 'false');
    if (this.section.dataset.state === 'loading') this.#show('empty', 'Nothing could be loaded.');
  }

  #show(state, text) {
    this.section.dataset.state = state;
    this.section.setAttribute('aria-busy', String(state === 'loading'));
    this.#state.textContent = text;
    this.#state.hidden = !text;
    const isReady = state === 'ready';
    this.body.hidden = !isReady;
    this.caption.hidden = !isReady;
    if (!isReady) this.#data.hidden = true;
  }

  #fillTable() {
    if (!this.#data.open || !this.#makeTable) return;
    const { headings, rows, numbers } = this.#makeTable();
    const title = this.section.querySelector('h2').textContent;
    this.#data.querySelector('.scroll')?.remove();
    const table = dataTable(title, headings, rows, numbers);
    this.#data.append(
      element(
        'div',
        { className: 'scroll', tabIndex: 0, role: 'region', 'aria-label': `${title}, as a table` },
        table,
      ),
    );
  }
}
