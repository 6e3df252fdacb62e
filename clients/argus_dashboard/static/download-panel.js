// What is said of a download: in the dialog while that is open, else at the page's foot.

import { element } from './dom.js';
import { ENDED, download } from './download.js';
import { showBytes, showCount, showEvents, showPercent } from './format.js';

const TITLES = {
  unknown: 'Waiting for the browser to begin',
  running: 'Downloading',
  whole: 'The file is whole',
  refused: 'The download was refused',
  broken: 'Failed: the file is not whole',
  cancelled: 'Cancelled: the file is not whole',
};

export class DownloadPanel {
  constructor(onChange) {
    this.onChange = onChange;
    this.state = null;
    this.title = element('strong', { role: 'status' });
    this.bar = element('progress', { 'aria-label': 'Download' });
    this.figures = element('span', { className: 'figures' });
    this.reason = element('p', { className: 'reason' });
    this.dismiss = element('button', { type: 'button', className: 'quiet dismiss', text: '×', 'aria-label': 'Dismiss', onclick: () => this.clear() });
    this.element = element(
      'section',
      { className: 'download', 'aria-label': 'Download', hidden: true },
      element('p', {}, this.title, this.figures),
      this.bar,
      this.reason,
      this.dismiss,
    );
  }

  get isRunning() {
    return this.state !== null && !ENDED.has(this.state);
  }

  start(params, file) {
    this.file = file;
    this.element.hidden = false;
    download(params, (status) => this.#show(status));
  }

  clear() {
    this.state = null;
    this.element.hidden = true;
    delete this.element.dataset.state;
  }

  #show({ state, rows, totalEvents, bytes, reason }) {
    // Set only when it changes: it is read out.
    if (this.title.textContent !== TITLES[state]) this.title.textContent = TITLES[state];
    this.state = state;
    this.element.dataset.state = state;
    this.bar.hidden = !this.isRunning;
    if (totalEvents === null) this.bar.removeAttribute('value');
    else Object.assign(this.bar, { max: Math.max(totalEvents, 1), value: rows });
    this.figures.textContent = figures(state, rows, totalEvents, bytes);
    this.reason.textContent = reason ?? (state === 'whole' ? `${this.file} is in your browser’s downloads.` : '');
    this.reason.hidden = !this.reason.textContent;
    this.dismiss.hidden = this.isRunning;
    this.onChange();
  }
}

function figures(state, rows, totalEvents, bytes) {
  if (totalEvents === null) return '';
  if (state === 'whole') return `${showEvents(rows)}, ${showBytes(bytes)}`;
  const share = totalEvents ? `, ${showPercent(Math.floor((rows / totalEvents) * 1000) / 1000)}` : '';
  return `${showCount(rows)} of ${showEvents(totalEvents)}${share}, ${showBytes(bytes)}`;
}
