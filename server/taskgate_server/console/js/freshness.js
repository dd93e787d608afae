/** How old the tasks on the page are. */

/**
 * The time at which the tasks on the page were last known to be current, on this machine's clock.
 *
 * A heartbeat has the age itself, so it needs no common clock. Other messages have the time at which AWS responded. A
 * time in the future proves that this machine's clock is behind, and by how much at least.
 */
export class Freshness {
  /** Milliseconds since 1970; NaN before the first message. */
  asOf = NaN;
  /** The error of the latest poll of AWS: a google.rpc.Status, or null. */
  upstreamError = /** @type {any} */ (null);
  #behind = 0;
  #now;

  /** @param {() => number} now milliseconds since 1970 */
  constructor(now) {
    this.#now = now;
  }

  /** @param {number} time when AWS sent a response, in milliseconds since 1970; may be NaN */
  observe(time) {
    const now = this.#now();
    this.#behind = Math.max(this.#behind, time - now || 0);
    this.#advance(Math.min(time - this.#behind, now));
  }

  /**
   * @param {number} staleness in milliseconds
   * @param {any} upstreamError
   */
  heartbeat(staleness, upstreamError) {
    this.upstreamError = upstreamError ?? null;
    if (Number.isFinite(staleness)) {
      // Also backwards: this is the server's own figure.
      this.asOf = this.#now() - staleness;
    }
  }

  /** Return the age in milliseconds; NaN before the first message. */
  age() {
    return Math.max(0, this.#now() - this.asOf);
  }

  /** Return the current time on AWS's clock, as far as it is known. */
  serverNow() {
    return this.#now() + this.#behind;
  }

  /** @param {number} time */
  #advance(time) {
    if (Number.isFinite(time) && !(time <= this.asOf)) {
      this.asOf = time;
    }
  }
}
