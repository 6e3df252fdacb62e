// The same export as a command line, a curl line and Python, to copy.

import { element } from './dom.js';
import { commandLine, curlLine, fileName, pythonCode } from './snippets.js';

const KINDS = { 'Command line': commandLine, curl: curlLine, Python: pythonCode };

export class SnippetsPanel {
  /** server: the gRPC server's HOST:PORT, as the dashboard knows it. needsToken: somebody is signed in. */
  constructor(server, needsToken) {
    this.server = server;
    this.needsToken = needsToken;
    this.kind = 'Command line';
    this.code = element('code');
    this.copied = element('span', { className: 'hint', role: 'status' });
    const kinds = Object.keys(KINDS).map((kind) =>
      element(
        'label',
        { className: 'tick' },
        element('input', { type: 'radio', name: 'snippet', value: kind, checked: kind === this.kind, onchange: () => this.#choose(kind) }),
        element('span', { text: kind }),
      ),
    );
    this.element = element(
      'details',
      { className: 'snippets' },
      element('summary', { text: 'The same export elsewhere' }),
      element(
        'div',
        { className: 'choices', role: 'radiogroup', 'aria-label': 'Where' },
        ...kinds,
        element('button', { type: 'button', className: 'quiet copy', text: 'Copy', onclick: () => this.#copy() }),
        this.copied,
      ),
      element('pre', { tabIndex: 0, role: 'region', 'aria-label': 'The text to copy' }, this.code),
      element('p', { className: 'hint', text: 'It takes your token from the variable ARGUS_TOKEN.', hidden: !needsToken }),
    );
  }

  show(params) {
    this.params = params;
    this.element.hidden = params === null;
    if (params === null) return;
    const context = {
      server: this.server,
      base: new URL('/', location.href).href,
      file: fileName(params),
      needsToken: this.needsToken,
    };
    this.code.textContent = KINDS[this.kind](params, context);
    this.copied.textContent = '';
  }

  #choose(kind) {
    this.kind = kind;
    this.show(this.params);
  }

  async #copy() {
    // The clipboard's API is there only over HTTPS and on localhost.
    if (navigator.clipboard) {
      await navigator.clipboard.writeText(this.code.textContent);
      this.copied.textContent = 'Copied';
      return;
    }
    getSelection().selectAllChildren(this.code);
    this.copied.textContent = document.execCommand('copy') ? 'Copied' : 'Selected: copy it with Ctrl+C';
  }
}
