// New events as they are stored: a stream from the dashboard, gone on with after every break.

import { request } from './api.js';

const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 15_000;

/** Follows the events of one query until stop(). */
export class Follower {
  #source = null;
  #timer = null;
  #waitMs = FIRST_WAIT_MS;
  #isStopped = false;
  #params;
  #on;

  /** on: {events(list), connected(), away(), refused(problem)}. What came before connected() is for the
   * caller to load; nothing comes after refused(). */
  constructor(params, on) {
    this.#params = new URLSearchParams(params);
    this.#params.set('columns', 'all');
    this.#on = on;
    this.#connect();
  }

  stop() {
    this.#isStopped = true;
    clearTimeout(this.#timer);
    this.#source.close();
  }

  #connect() {
    this.#source = new EventSource(`/api/follow?${this.#params}`);
    this.#source.addEventListener('open', () => {
      this.#waitMs = FIRST_WAIT_MS;
      this.#on.connected();
    });
    this.#source.addEventListener('events', ({ data }) => this.#on.events(JSON.parse(data)));
    this.#source.addEventListener('error', () => {
      this.#on.away();
      // The browser tries again by itself after a break, but not after a refusal.
      if (this.#source.readyState === EventSource.CLOSED) this.#askWhy();
    });
  }

  // An EventSource is not told what it was refused for.
  async #askWhy() {
    try {
      await request('/api/follow', this.#params, { method: 'HEAD' });
    } catch (problem) {
      if (this.#isStopped) return;
      if (!problem.isPassing) {
        this.#on.refused(problem);
        return;
      }
    }
    if (this.#isStopped) return;
    this.#timer = setTimeout(() => this.#connect(), this.#waitMs);
    this.#waitMs = Math.min(2 * this.#waitMs, MAX_WAIT_MS);
  }
}
