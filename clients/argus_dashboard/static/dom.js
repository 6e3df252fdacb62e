// Elements with texts: whatever comes from the data is set as text, never as markup.

/** element('td', {className: 'number', text: '3'}, ...children): properties, attributes by their dash. */
export function element(tag, { text, ...properties } = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name.includes('-') || name === 'scope' || name === 'role') made.setAttribute(name, value);
    else made[name] = value;
  }
  if (text !== undefined) made.textContent = text;
  made.append(...children);
  return made;
}

export function byId(id) {
  return document.getElementById(id);
}

/** A table with a header row; cells of `numbers` (column indexes) are set to the right. */
export function dataTable(caption, headings, rows, numbers = []) {
  const kind = (index) => (numbers.includes(index) ? 'number' : undefined);
  const cells = (row) =>
    row.map((text, index) =>
      element(index ? 'td' : 'th', { text, className: kind(index), scope: index ? null : 'row' }),
    );
  return element(
    'table',
    {},
    element('caption', { className: 'unseen', text: caption }),
    element(
      'thead',
      {},
      element(
        'tr',
        {},
        ...headings.map((text, index) => element('th', { text, scope: 'col', className: kind(index) })),
      ),
    ),
    element('tbody', {}, ...rows.map((row) => element('tr', {}, ...cells(row)))),
  );
}
