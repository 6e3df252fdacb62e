// The same export elsewhere: as a command line, a curl line and Python, all made of the parameters that the
// download itself has (URLSearchParams of GET /export). Pure. A parameter that has no flag is an error,
// never left out; a curl line carries them all.

const ENDINGS = { csv: '.csv', json: '.json', jsonl: '.jsonl', parquet: '.parquet' };

// HTTP parameter: its flag and its Python argument; how a list of them is written in either.
const QUERY = new Map([
  ['from', { flag: '--from', argument: 'start' }],
  ['to', { flag: '--to', argument: 'end' }],
  ['type', { flag: '--type', argument: 'types', separator: ',', literal: pythonText }],
  ['source', { flag: '--source', argument: 'sources', literal: pythonText }],
  ['thread_name', { flag: '--thread-name', argument: 'thread_name_glob' }],
  ['thread_name_contains', { flag: '--thread-name-contains', argument: 'thread_name_contains' }],
  ['thread_name_regex', { flag: '--thread-name-regex', argument: 'thread_name_regex' }],
  ['thread_id', { flag: '--thread-id', argument: 'thread_ids', separator: ',', literal: pythonInteger }],
  ['carrier_thread', { flag: '--carrier-thread', argument: 'carrier_threads', separator: ',', literal: pythonInteger }],
  ['min_duration', { flag: '--min-duration', argument: 'min_duration' }],
  ['max_duration', { flag: '--max-duration', argument: 'max_duration' }],
]);
// What the file's ending says already.
const IN_THE_ENDING = new Set(['format', 'compress']);

/** The name that GET /export gives the file: the UTC date of `from`, else of `today`. */
export function fileName(params, today = new Date()) {
  const date = (params.get('from') ?? today.toISOString()).slice(0, 10);
  return `argus-export-${date}${ENDINGS[params.get('format') ?? 'csv']}${params.get('compress') === 'gzip' ? '.gz' : ''}`;
}

/** For a POSIX shell. `server` is the gRPC server's HOST:PORT. Where a token is needed, it is in ARGUS_TOKEN,
 * which argus-client reads by itself. */
export function commandLine(params, { server, file }) {
  const flags = [`--server ${shellQuoted(server)}`];
  for (const [name, values] of grouped(params)) {
    const { flag, separator } = QUERY.get(name) ?? {};
    if (name === 'columns') flags.push(`--columns ${shellQuoted(values.join(','))}`);
    else if (name === 'excel') flags.push('--excel');
    else if (separator) flags.push(`${flag} ${shellQuoted(values.join(separator))}`);
    else flags.push(...values.map((value) => `${flag} ${shellQuoted(value)}`));
  }
  flags.push(`-o ${shellQuoted(file)}`);
  return ['argus-client export', ...flags].join(' \\\n  ');
}

/** For a POSIX shell. `base` is the address of the dashboard, with a slash at its end. */
export function curlLine(params, { base, file, needsToken = false }) {
  const token = needsToken ? '-H "Authorization: Bearer $ARGUS_TOKEN" \\\n  ' : '';
  return `curl --fail -o ${shellQuoted(file)} \\\n  ${token}${shellQuoted(`${base}export?${params}`)}`;
}

export function pythonCode(params, { server, file, needsToken = false }) {
  const imports = [...(needsToken ? ['import os', ''] : []), 'from argus_client import EventQuery, ExportClient'];
  const conditions = [];
  const asked = ['query'];
  const written = [pythonText(file)];
  for (const [name, values] of grouped(params)) {
    const { argument, literal } = QUERY.get(name) ?? {};
    if (name === 'columns') {
      asked.push(`columns=${pythonList(values, pythonText)}`);
    } else if (name === 'excel') {
      imports.push('from argus_client.formats import RenderOptions');
      written.push('options=RenderOptions(excel=True)');
    } else {
      conditions.push(`${argument}=${literal ? pythonList(values, literal) : pythonText(values[0])}`);
    }
  }
  return [
    ...imports,
    '',
    ...(conditions.length
      ? ['query = EventQuery(', ...conditions.map((condition) => `    ${condition},`), ')']
      : ['query = EventQuery()']),
    `with ExportClient(${pythonText(server)}${needsToken ? ', token=os.environ["ARGUS_TOKEN"]' : ''}) as client:`,
    `    export = client.export(${asked.join(', ')})`,
    `    export.write(${written.join(', ')})`,
  ].join('\n');
}

/** A word of a POSIX shell (POSIX.1-2017, Shell Command Language, section 2.2.2). */
export function shellQuoted(text) {
  // Not bare with = at the front, which zsh takes for a program's name.
  return /^[\w@%+:,./-][\w@%+=:,./-]*$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function* grouped(params) {
  for (const name of new Set(params.keys())) {
    if (IN_THE_ENDING.has(name)) continue;
    const values = params.getAll(name);
    const separator = name === 'columns' ? ',' : QUERY.get(name)?.separator;
    if (!separator && name !== 'excel' && !QUERY.has(name)) throw new Error(`${name} has no flag`);
    yield [name, separator ? values.flatMap((value) => value.split(separator)) : values];
  }
}

// A JSON string is a Python string of the same value.
function pythonText(text) {
  return JSON.stringify(text);
}

// Text where it is none, for EventQuery to refuse: what a link wrote must not become code.
function pythonInteger(text) {
  return /^(0|-?[1-9]\d*)$/.test(text) ? text : pythonText(text);
}

function pythonList(values, literal) {
  return `[${values.map(literal).join(', ')}]`;
}
