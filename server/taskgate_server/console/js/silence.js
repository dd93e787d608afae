/** Streams that look open but are dead: nothing arrives any more, not even heartbeats. */

/** What the console requests of streams. */
export const HEARTBEAT_SECONDS = 5;
/** After so many missed heartbeats a connection counts as dead. */
const MAX_MISSED_HEARTBEATS = 3;
const SILENCE_MS = MAX_MISSED_HEARTBEATS * HEARTBEAT_SECONDS * 1000;

/** A call that ended although what it reports has not. */
export class StreamBroken extends Error {
  code = "unavailable";

  /**
   * @param {string} message
   * @param {string} reason
   */
  constructor(message, reason = "") {
    super(message);
    this.reason = reason;
  }
}

/** A timer that aborts a call without messages for too long. Messages are frequent, so they do not restart a timer. */
export class SilenceTimer {
  /** @type {StreamBroken | null} */
  error = null;
  #timing;
  #call;
  #lastMessage;
  #stopped = new AbortController();

  /**
   * @param {Pick<import("./watch.js").Timing, "monotonic" | "sleep">} timing
   * @param {AbortController} call
   */
  constructor(timing, call) {
    this.#timing = timing;
    this.#call = call;
    this.#lastMessage = timing.monotonic();
    void this.#run();
  }

  /** Record a message. */
  reset() {
    this.#lastMessage = this.#timing.monotonic();
  }

  stop() {
    this.#stopped.abort();
  }

  async #run() {
    for (;;) {
      const left = this.#lastMessage + SILENCE_MS - this.#timing.monotonic();
      if (left <= 0) {
        this.error = new StreamBroken(`The server has sent nothing for ${SILENCE_MS / 1000} s.`);
        this.#call.abort();
        return;
      }
      await this.#timing.sleep(left, this.#stopped.signal);
      if (this.#stopped.signal.aborted) {
        return;
      }
    }
  }
}
