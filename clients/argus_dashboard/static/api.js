// What the page asks the dashboard's own HTTP side, and what it makes of a refusal.

/** A refusal (application/problem+json), or no answer at all. */
export class Problem extends Error {
  constructor({ status = 0, title = '', detail = '', errors = [], retryAfterS = null }) {
    super(detail || title);
    this.name = 'Problem';
    this.status = status;
    this.title = title;
    this.detail = detail;
    /** [{parameter, value, allowed}]: which parameters do not fit. */
    this.errors = errors;
    this.retryAfterS = retryAfterS;
  }

  /** Whether the same request may succeed later, with nothing changed. */
  get isPassing() {
    return this.status === 0 || this.status === 429 || this.status === 502 || this.status === 503;
  }
}

/** The JSON that path answers with. Raises Problem, or AbortError when signal has aborted. */
export async function getJson(path, params = new URLSearchParams(), { signal } = {}) {
  const response = await request(path, params, { signal });
  try {
    return await response.json();
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem({ title: 'The answer broke off', detail: `${path}: ${error.message}` });
  }
}

/** The response of path once it is 200. Raises Problem, or AbortError when signal has aborted. */
export async function request(path, params = new URLSearchParams(), { signal, method = 'GET' } = {}) {
  const query = params.toString();
  let response;
  try {
    response = await fetch(query ? `${path}?${query}` : path, { signal, method, cache: 'no-store' });
  } catch (error) {
    if (isAbort(error)) throw error;
    throw new Problem({
      title: 'The dashboard does not answer',
      detail: 'argus-dashboard cannot be reached. Is it still running?',
    });
  }
  if (response.ok) return response;
  // The page is left, so nobody is told.
  if (response.status === 401) return signIn();
  throw await problemOf(response);
}

/** Leads to the sign-in, and from there back to the same view. Never returns. */
function signIn() {
  const here = `${location.pathname}${location.search}`.replaceAll('\\', '%5C');
  location.replace(`/login?${new URLSearchParams({ next: here })}`);
  return new Promise(() => {});
}

export function isAbort(error) {
  return error?.name === 'AbortError';
}

async function problemOf(response) {
  const retryAfterS = Number(response.headers.get('Retry-After')) || null;
  const about = {
    status: response.status,
    title: response.statusText || `HTTP ${response.status}`,
    retryAfterS,
  };
  if ((response.headers.get('Content-Type') ?? '').includes('json')) {
    try {
      const { title, detail, errors } = await response.json();
      return new Problem({ ...about, title: title ?? about.title, detail, errors: errors ?? [] });
    } catch (error) {
      if (isAbort(error)) throw error;
    }
  }
  return new Problem(about);
}
