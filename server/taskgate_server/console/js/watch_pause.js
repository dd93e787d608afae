/** Pauses a watch while its page is hidden. */

/**
 * A hidden page keeps its stream only so long. Over HTTP/1.1, browsers open six connections to a server for all of
 * their tabs, so that streams of hidden tabs would block every call of the others. Resuming costs no AWS call while the
 * server has the changes since.
 */
export const HIDDEN_MS = 20_000;

/** A listener that calls back when a page has been hidden for a while, and when it shows again. */
export class WatchPause {
  #onPause;
  #onResume;
  #setTimer;
  #clearTimer;
  #isWatching = false;
  /** @type {any} */
  #timer;

  /**
   * @param {object} options
   * @param {() => void} options.onPause
   * @param {() => void} options.onResume also starts the first watch
   * @param {(callback: () => void, milliseconds: number) => any} [options.setTimer]
   * @param {(timer: any) => void} [options.clearTimer]
   */
  constructor({ onPause, onResume, setTimer = setTimeout, clearTimer = clearTimeout }) {
    this.#onPause = onPause;
    this.#onResume = onResume;
    this.#setTimer = (/** @type {() => void} */ callback) => setTimer(callback, HIDDEN_MS);
    this.#clearTimer = (/** @type {any} */ timer) => clearTimer(timer); // browsers require its `this`
  }

  /**
   * @param {EventTarget & {hidden: boolean}} page a document
   * @param {AbortSignal} signal
   */
  start(page, signal) {
    page.addEventListener("visibilitychange", () => this.#update(page.hidden), { signal });
    signal.addEventListener("abort", () => this.#clearTimer(this.#timer));
    if (!page.hidden) {
      this.#update(false);
    }
  }

  /** @param {boolean} isHidden */
  #update(isHidden) {
    this.#clearTimer(this.#timer);
    if (isHidden) {
      this.#timer = this.#setTimer(() => {
        this.#isWatching = false;
        this.#onPause();
      });
    } else if (!this.#isWatching) {
      this.#isWatching = true;
      this.#onResume();
    }
  }
}
