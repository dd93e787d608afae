/** How current the page is, and notices while it is not: reconnecting, ended, or AWS fails. */

import { statusError } from "./connect.js";
import { h, setText } from "./dom.js";
import { describeError, errorNotice } from "./errors.js";
import * as format from "./quantities.js";
import { ageText } from "./summary_text.js";

/** @typedef {import("./watch.js").WatchStatus} WatchStatus */
/** @typedef {import("./freshness.js").Freshness} Freshness */
/** @typedef {import("./store.js").TaskStore} TaskStore */

/** A page older than this says so in a notice. */
const STALE_MS = 60_000;

/** @type {Record<string, string>} */
const END_REASONS = {
  WATCH_END_REASON_GONE: "It no longer exists in AWS.",
  WATCH_END_REASON_SETTLED: "Nothing changes until someone acts.",
};

/** The badge and the notices for the status of a watch. */
export class ConnectionView {
  /** A short text: live, and how old. */
  badge = h("span", { class: "live small numeric", "data-state": "connecting" });
  /** A notice, if there is something to notice. */
  notices = h("div", { class: "stack", "aria-live": "polite" });
  #freshness;
  #store;
  #now;
  #onRestart;
  /** @type {() => void} */
  #retryNow = () => undefined;
  /** @type {WatchStatus} */
  #status = { state: "connecting", since: 0 };
  #noticeKey = "";
  #countdown = h("span");

  /**
   * @param {Freshness} freshness
   * @param {TaskStore} store
   * @param {object} options
   * @param {() => void} options.onRestart watches again after an error that is final
   * @param {() => number} [options.now]
   */
  constructor(freshness, store, { onRestart, now = () => Date.now() }) {
    this.#freshness = freshness;
    this.#store = store;
    this.#onRestart = onRestart;
    this.#now = now;
  }

  /** @param {WatchStatus} status */
  setStatus(status) {
    this.#status = status;
    this.tick();
  }

  /** @param {() => void} wake ends the delay before the next call */
  setWake(wake) {
    this.#retryNow = wake;
  }

  /** End the delay before the next call, if there is one. */
  retryNow() {
    this.#retryNow();
  }

  tick() {
    const { state, retryAt } = this.#status;
    const age = this.#freshness.age();
    this.badge.dataset.state = state === "live" && age > STALE_MS ? "stale" : state;
    setText(this.badge, [this.#badgeText(), ageText(age)].filter(Boolean).join(", "));
    if (retryAt !== undefined) {
      const left = retryAt - this.#now();
      setText(this.#countdown, left > 500 ? `Next attempt in ${format.duration(left)}.` : "Connecting …");
    }
    this.#showNotice();
  }

  #badgeText() {
    const count = this.#store.tasks.size;
    switch (this.#status.state) {
      case "live":
        return this.#store.ready ? "Live" : `Loading, ${format.counted(count, "task")} so far`;
      case "reconnecting":
        return "Reconnecting";
      case "ended":
        return "Not updated";
      case "paused":
        return "Paused";
      default:
        return "Connecting";
    }
  }

  /** Replace the notice only if it says something else, since screen readers read it each time. */
  #showNotice() {
    const { state, error, reason, since } = this.#status;
    const { upstreamError } = this.#freshness;
    const key = JSON.stringify([state, reason, since, error?.message, upstreamError?.message]);
    if (key === this.#noticeKey) {
      return;
    }
    this.#noticeKey = key;
    if (state === "reconnecting") {
      this.notices.replaceChildren(this.#reconnecting(error, since));
    } else if (state === "ended" && error) {
      this.notices.replaceChildren(errorNotice(error, { onRetry: this.#onRestart }));
    } else if (state === "ended") {
      this.notices.replaceChildren(this.#ended(reason ?? ""));
    } else if (upstreamError) {
      this.notices.replaceChildren(this.#upstream(upstreamError));
    } else {
      this.notices.replaceChildren();
    }
  }

  /**
   * @param {any} error
   * @param {number} since
   */
  #reconnecting(error, since) {
    const text = describeError(error);
    return h(
      "div",
      { class: "notice", "data-kind": "warning" },
      h("strong", null, "Reconnecting"),
      h("p", null, text.message),
      h(
        "div",
        { class: "row small" },
        h("span", null, `The page shows what was known at ${format.time(since, since)}. `),
        h("span", { "aria-hidden": "true" }, this.#countdown),
        h("button", { type: "button", onclick: () => this.retryNow() }, "Connect now"),
      ),
    );
  }

  /** @param {string} reason */
  #ended(reason) {
    const text = END_REASONS[reason] ?? "The server has ended the stream.";
    return h(
      "div",
      { class: "notice" },
      h("strong", null, "No longer updated"),
      h("p", null, text),
      h(
        "div",
        { class: "row" },
        h("button", { type: "button", onclick: () => this.#onRestart() }, "Watch again"),
      ),
    );
  }

  /** @param {any} status a google.rpc.Status */
  #upstream(status) {
    const text = describeError(statusError(status));
    return h(
      "div",
      { class: "notice", "data-kind": "warning" },
      h("strong", null, "AWS cannot be polled at the moment"),
      h("p", { class: "pre" }, text.message),
      text.reference ? h("p", { class: "small quiet" }, text.reference) : null,
    );
  }
}
