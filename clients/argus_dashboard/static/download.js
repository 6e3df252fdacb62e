// A download by the browser itself, which streams it to disk, and what the dashboard says of it meanwhile:
// GET /api/download, told by whoever sends the bytes. So how it ended is known in every browser.

import { Problem, getJson } from './api.js';

const POLL_MS = 400;
// A dashboard that does not answer for so long has not sent the rest either.
const GONE_AFTER_MS = 8_000;

/** What becomes of a download: `state` is one of
 *    unknown    the browser has not asked for it yet
 *    running    rows of totalEvents and bytes have been sent; reason says why it waits, if it does
 *    whole      all of it has been sent
 *    refused    nothing was sent; reason says why
 *    broken     it was cut: the browser's file is not whole; reason says why
 *    cancelled  the browser ended it
 */
export const ENDED = new Set(['whole', 'refused', 'broken', 'cancelled']);

/** Starts the download of /export with these parameters. onChange is called with each new status, in the
 * end with one whose state is in ENDED. */
export function download(params, onChange) {
  const id = newId();
  const link = document.createElement('a');
  link.href = `/export?${new URLSearchParams([...params, ['download_id', id]])}`;
  link.download = '';
  link.click();
  watch(id, onChange);
}

async function watch(id, onChange) {
  let last = { state: 'unknown', rows: 0, bytes: 0, totalEvents: null, reason: null };
  let silentSince = null;
  onChange(last);
  while (!ENDED.has(last.state)) {
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    try {
      last = afterAnswer(last, await getJson('/api/download', new URLSearchParams({ download_id: id })));
      silentSince = null;
    } catch (problem) {
      if (!(problem instanceof Problem)) throw problem;
      silentSince ??= performance.now();
      last = afterProblem(last, problem, performance.now() - silentSince);
    }
    onChange(last);
  }
}

function afterAnswer(last, answer) {
  if (answer.state !== 'unknown' || last.state === 'unknown') return answer;
  return { ...last, state: 'broken', reason: 'The dashboard was restarted meanwhile.' };
}

function afterProblem(last, problem, silentMs) {
  if (silentMs < GONE_AFTER_MS) return last;
  return { ...last, state: last.state === 'unknown' ? 'refused' : 'broken', reason: problem.message };
}

// crypto.randomUUID() is there only over HTTPS and on localhost.
function newId() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');
}
