// The Export dialog: what to export, how much that is, and the download.

import { getJson, isAbort } from './api.js';
import { element } from './dom.js';
import { DownloadPanel } from './download-panel.js';
import { ExportForm } from './export-form.js';
import { showBytes, showCount, showEvents } from './format.js';
import { fileName } from './snippets.js';
import { SnippetsPanel } from './snippets-panel.js';

const DEBOUNCE_MS = 250;
const EXCEL_MAX_ROWS = 1_048_576;
// What does not change what a plan says.
const NOT_IN_A_PLAN = ['format', 'compress', 'excel'];

// A download goes on when the dialog is closed; the panel then stands at the page's foot.
let downloads = null;

/** Opens the dialog for what the page's filters show. */
export async function openExportDialog(state) {
  let schema;
  let session;
  try {
    [schema, session] = await Promise.all([getJson('/api/columns'), getJson('/api/session')]);
  } catch (problem) {
    show(frameOf([element('footer', {}, element('p', { className: 'problem', role: 'alert', text: problem.message }))]));
    return;
  }
  new ExportDialog(state, schema, session.signedIn).open();
}

function frameOf(content, onsubmit) {
  const close = element('button', { type: 'button', className: 'quiet close', text: '×', 'aria-label': 'Close', onclick: () => dialog.close() });
  const dialog = element(
    'dialog',
    { className: 'export-dialog', 'aria-labelledby': 'export-title', onclose: () => dialog.remove() },
    element('form', { noValidate: true, onsubmit }, element('header', {}, element('h2', { id: 'export-title', text: 'Export Data' }), close), ...content),
  );
  return dialog;
}

function show(dialog) {
  document.body.append(dialog);
  dialog.showModal();
}

class ExportDialog {
  constructor(state, schema, isSignedIn) {
    this.planned = element('p', { className: 'planned', role: 'status' });
    this.warning = element('p', { className: 'warning', hidden: true });
    this.problem = element('p', { className: 'problem', role: 'alert', hidden: true });
    this.cancel = element('button', { type: 'button', text: 'Cancel', onclick: () => this.dialog.close() });
    this.start = element('button', { type: 'submit', className: 'primary', text: 'Download Export' });
    this.snippets = new SnippetsPanel(schema.server, isSignedIn);
    this.form = new ExportForm(state, schema, () => this.#changed());
    downloads ??= new DownloadPanel(() => {});
    downloads.onChange = () => this.#showButtons();
    if (!downloads.isRunning) downloads.clear();
    this.dialog = frameOf(
      [
        element('div', { className: 'body' }, ...this.form.elements, this.snippets.element),
        element('footer', {}, this.planned, this.warning, this.problem, downloads.element, element('div', { className: 'buttons' }, this.cancel, this.start)),
      ],
      (event) => this.#download(event),
    );
    this.dialog.addEventListener('close', () => this.#closed());
  }

  open() {
    show(this.dialog);
    this.#changed({ now: true });
  }

  #changed({ now = false } = {}) {
    this.params = this.form.read();
    this.snippets.show(this.params);
    this.planning?.abort();
    clearTimeout(this.timer);
    this.plan = null;
    this.#say();
    this.#showButtons();
    if (this.params === null) {
      this.planned.textContent = '';
      return;
    }
    this.dialog.setAttribute('aria-busy', 'true');
    this.timer = setTimeout(() => this.#askPlan(), now ? 0 : DEBOUNCE_MS);
  }

  async #askPlan() {
    const params = new URLSearchParams(this.params);
    for (const name of NOT_IN_A_PLAN) params.delete(name);
    this.planning = new AbortController();
    try {
      this.plan = await getJson('/api/plan', params, { signal: this.planning.signal });
      this.#say();
    } catch (error) {
      if (isAbort(error)) return;
      this.planned.textContent = '';
      this.problem.textContent = (error.errors?.length ? this.form.tell(error.errors) : error.message) ?? '';
      this.problem.hidden = !this.problem.textContent;
    }
    this.dialog.removeAttribute('aria-busy');
  }

  #say() {
    this.problem.hidden = true;
    this.warning.hidden = true;
    if (this.plan === null) {
      this.planned.textContent ||= 'Counting…';
      this.planned.classList.add('stale');
      return;
    }
    this.planned.classList.remove('stale');
    const { format, gzip } = this.form;
    const { totalEvents } = this.plan;
    this.planned.textContent = `${showEvents(totalEvents)}, ${tellSize(this.plan, format, gzip.checked)}`;
    if (format === 'csv' && totalEvents + 1 > EXCEL_MAX_ROWS) {
      this.warning.textContent = `Excel opens ${showCount(EXCEL_MAX_ROWS)} rows of a file at most, its header included: ${showEvents(totalEvents + 1 - EXCEL_MAX_ROWS)} would not be shown there.`;
      this.warning.hidden = false;
    }
  }

  #showButtons() {
    this.start.disabled = this.params === null || downloads.isRunning;
    this.cancel.textContent = downloads.state === null ? 'Cancel' : 'Close';
  }

  #download(event) {
    event.preventDefault();
    if (this.start.disabled) return;
    downloads.start(this.params, fileName(this.params));
  }

  #closed() {
    clearTimeout(this.timer);
    this.planning?.abort();
    if (downloads.isRunning) document.body.append(downloads.element);
  }
}

function tellSize({ totalEvents, estimatedCsvBytes, estimatedJsonBytes }, format, isGzip) {
  if (!totalEvents) return 'so the file will be empty';
  // How far it compresses is not known beforehand.
  if (format === 'parquet') return `about ${showBytes(estimatedCsvBytes)} before Parquet compresses them`;
  const bytes = format === 'csv' ? estimatedCsvBytes : estimatedJsonBytes;
  return `about ${showBytes(bytes)}${isGzip ? ' before gzip' : ''}`;
}
