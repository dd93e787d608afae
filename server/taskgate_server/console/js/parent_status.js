/** The state of a parent itself, and the names of its steps, read now and then: WatchTasks reports neither. */

import { unary as connectUnary } from "./connect.js";
import { stateInfo } from "./states.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */

const METHOD = "taskgate.v1.TaskService/SummarizeTasks";

/** Between two reads while tasks run. A read may take AWS several calls. */
const INTERVAL_S = 30;
/** Between two reads when all tasks have settled: the parent ends soon, if it has not. */
const SETTLED_INTERVAL_S = 5;
/** When all tasks have settled for so long, the end is not near: the parent waits for something. */
const SETTLED_PATIENCE_S = 60;
/** More steps than this keep their ids as names. */
const MAX_LABELS = 40;
const LABEL_MAX_AGE = "300s";

/**
 * The times at which to read the state of a parent. It reads no clock.
 *
 * The times of reads are multiples of an interval, on the clock that all pages share: so many pages of one parent read
 * at the same time, and the server makes one AWS call for all of them.
 */
export class StatusSchedule {
  #lastSlot = -1;
  #settledSince = NaN;
  #wasChanged = false;

  /** Request a read although it is not time for one. */
  request() {
    this.#wasChanged = true;
  }

  /**
   * Return how old the response of a read that is due may be in seconds; 0 if none is due.
   *
   * @param {number} now milliseconds since 1970
   * @param {boolean} isSettled whether all tasks have settled
   * @param {boolean} isEnded whether the parent has ended, as far as is known
   */
  due(now, isSettled, isEnded) {
    if (!isSettled) {
      this.#settledSince = NaN;
    } else if (Number.isNaN(this.#settledSince)) {
      this.#settledSince = now;
      this.#wasChanged = true;
    }
    const isNear = isSettled && !isEnded && now - this.#settledSince < SETTLED_PATIENCE_S * 1000;
    const interval = isNear ? SETTLED_INTERVAL_S : INTERVAL_S;
    const slot = Math.floor(now / (interval * 1000)) * interval;
    if (slot === this.#lastSlot && !this.#wasChanged) {
      return 0;
    }
    // A parent that has ended changes only together with its tasks.
    const isIdle = isEnded && isSettled && !this.#wasChanged && this.#lastSlot >= 0;
    const maxAge = this.#wasChanged ? 1 : interval;
    this.#lastSlot = slot;
    this.#wasChanged = false;
    return isIdle ? 0 : maxAge;
  }
}

/** A reader of the state of a parent and the names of its steps, which a model gets. */
export class ParentStatusReader {
  #model;
  #options;
  #schedule = new StatusSchedule();
  #isReading = false;
  #labelled = new Set();
  #isLabelling = false;
  /** @type {any} the error of the last read, or null */
  error = null;

  /**
   * @param {ParentModel} model
   * @param {object} options
   * @param {AbortSignal} options.signal
   * @param {string} [options.target]
   * @param {() => number} [options.now]
   * @param {typeof connectUnary} [options.unary]
   */
  constructor(model, { signal, target, now = () => Date.now(), unary = connectUnary }) {
    this.#model = model;
    this.#options = { signal, target, now, unary };
  }

  /** Request a read with the next tick. */
  request() {
    this.#schedule.request();
  }

  /** Read what is due; call it about once a second. */
  tick() {
    const { store } = this.#model;
    if (this.#isReading) {
      return;
    }
    const states = [...store.counts.keys()];
    const isSettled = store.ready && states.every((state) => stateInfo(state).settled);
    const isEnded = store.parent?.parentStatus?.ended === true;
    const maxAge = this.#schedule.due(this.#options.now(), isSettled, isEnded);
    if (maxAge > 0) {
      void this.#read(maxAge);
    }
    if (store.ready && !this.#isLabelling) {
      void this.#readLabels();
    }
  }

  /** @param {number} maxAge in seconds */
  async #read(maxAge) {
    const { unary, signal, target } = this.#options;
    const request = { parent: this.#model.parent, maxAge: `${maxAge}s` };
    this.#isReading = true;
    try {
      const summary = await unary(METHOD, request, { signal, target });
      this.error = null;
      this.#model.store.setParent(summary);
    } catch (error) {
      if (!signal.aborted) {
        this.error = error;
      }
    } finally {
      this.#isReading = false;
    }
  }

  /** Read the names of steps, one after the other. Those that fail keep their ids. */
  async #readLabels() {
    const { unary, signal, target } = this.#options;
    const groups = this.#model.order.groups
      .slice(0, MAX_LABELS)
      .filter(({ key, resource }) => resource !== "" && !this.#labelled.has(key));
    this.#isLabelling = true;
    for (const group of groups) {
      this.#labelled.add(group.key);
      try {
        const request = { parent: group.resource, maxAge: LABEL_MAX_AGE };
        const { displayName } = await unary(METHOD, request, { signal, target });
        if (displayName) {
          this.#model.setLabel(group, displayName);
        }
      } catch {
        if (signal.aborted) {
          break;
        }
      }
    }
    this.#isLabelling = false;
  }
}
