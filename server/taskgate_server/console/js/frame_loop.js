/** Draws all views of a page in one callback per frame. */

/**
 * A loop that runs painters before a frame.
 *
 * Painters run in the order in which they were added. One that returns true has not finished, and runs again in the
 * next frame. In hidden pages there are no frames, and so no work.
 */
export class FrameLoop {
  /** @type {Set<() => boolean | void>} */
  #painters = new Set();
  /** @type {(() => void)[]} */
  #callbacks = [];
  #requested = false;
  #requestFrame;

  /** @param {(callback: () => void) => void} requestFrame */
  constructor(requestFrame = (callback) => void requestAnimationFrame(callback)) {
    this.#requestFrame = requestFrame;
  }

  /** @param {() => boolean | void} painter */
  add(painter) {
    this.#painters.add(painter);
    this.request();
  }

  /**
   * Call back once, before the painters of the next frame.
   *
   * @param {() => void} callback
   */
  before(callback) {
    this.#callbacks.push(callback);
    this.request();
  }

  request() {
    if (!this.#requested) {
      this.#requested = true;
      this.#requestFrame(() => this.#run());
    }
  }

  #run() {
    this.#requested = false;
    const callbacks = this.#callbacks;
    this.#callbacks = [];
    for (const callback of callbacks) {
      callback();
    }
    let isUnfinished = false;
    for (const paint of this.#painters) {
      isUnfinished = paint() === true || isUnfinished;
    }
    if (isUnfinished) {
      this.request();
    }
  }
}
