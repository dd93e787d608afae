/** The top of a parent page: its own state with the reason, numbers by state, progress, throughput and time left. */

import { h, setText } from "./dom.js";
import { describeError } from "./errors.js";
import * as format from "./quantities.js";
import { STATES, stateInfo, stateLabel, stateMark } from "./states.js";
import { progressOf } from "./progress.js";
import { countsText, estimateText } from "./summary_text.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */

/** Numbers that change more often cannot be read. */
const PAINT_INTERVAL_MS = 200;
/** Screen readers hear changes no more often than this. */
const SPEAK_INTERVAL_MS = 15_000;

/** In the bar, what has ended comes first. */
const BAR_ORDER = [
  ...["SUCCEEDED", "FAILED", "BLOCKED", "CANCELLED", "SUSPENDED"],
  ...["STOPPING", "RUNNING", "STARTING", "QUEUED", "PENDING", "UNRECOGNIZED"],
].map((each) => `TASK_STATE_${each}`);

/** The numbers of a model. Its buttons filter by state. */
export class SummaryView {
  element;
  #model;
  #now;
  #state = h("div", { class: "parent-state" });
  #stateError = h("p", { class: "small quiet" });
  #stateKey = "";
  #bar = h("div", { class: "progress", role: "progressbar", "aria-label": "Settled tasks" });
  #counts = h("div", { class: "row counts", role: "group", "aria-label": "Filter by state" });
  #estimate = h("p", { class: "small numeric" });
  #spoken = h("div", { class: "visually-hidden", role: "status" });
  #lastSpoken = "";
  #spokenAt = -Infinity;
  /** @type {Map<string, {button: HTMLButtonElement, count: HTMLElement, part: HTMLElement}>} */
  #parts = new Map();

  /**
   * @param {ParentModel} model
   * @param {object} options
   * @param {import("./frame_loop.js").FrameLoop} options.loop
   * @param {AbortSignal} options.signal
   * @param {HTMLElement} options.actions on the parent as a whole
   * @param {() => number} [options.now] milliseconds on a monotonic clock
   */
  constructor(model, { loop, signal, actions, now = () => performance.now() }) {
    this.#model = model;
    this.#now = now;
    this.#createParts();
    this.element = h(
      "section",
      { class: "panel", "aria-label": "Summary" },
      h("div", { class: "row spread" }, this.#state, actions),
      this.#stateError,
      this.#bar,
      this.#counts,
      this.#estimate,
      this.#spoken,
    );
    let isStale = true;
    let paintedAt = -Infinity;
    const invalidate = () => {
      isStale = true;
      loop.request();
    };
    model.addEventListener("tasks", invalidate, { signal });
    model.addEventListener("filter", invalidate, { signal });
    loop.add(() => {
      const isEarly = now() < paintedAt + PAINT_INTERVAL_MS;
      if (isStale && !isEarly) {
        isStale = false;
        paintedAt = now();
        this.#paint();
      }
      return isStale;
    });
  }

  /** Return the share of settled tasks in percent, rounded down so that 100 means all; NaN without tasks. */
  get percent() {
    let total = 0;
    let settled = 0;
    for (const [state, count] of this.#model.store.counts) {
      total += count;
      settled += stateInfo(state).settled ? count : 0;
    }
    return Math.floor((100 * settled) / total);
  }

  /** Update what changes with time. */
  tick() {
    const { store, freshness } = this.#model;
    const progress = progressOf(store.counts, store.tasks, freshness.serverNow());
    setText(this.#estimate, store.ready ? estimateText(progress, store.parent?.parentStatus) : "");
    this.#speak();
  }

  /**
   * Show why the state of the parent cannot be read, if so.
   *
   * @param {any} error or null
   */
  setStatusError(error) {
    const isKnown = this.#model.store.parent !== null;
    const effect = isKnown ? "This state may be out of date, as it cannot be read" : "The state itself cannot be read";
    setText(this.#stateError, error === null ? "" : `${effect}: ${describeError(error).message}`);
  }

  #createParts() {
    for (const { state, key, label } of STATES) {
      const count = h("span", { class: "numeric count" });
      const button = h(
        "button",
        {
          type: "button",
          class: `count-button state-${key}`,
          "aria-pressed": "false",
          hidden: true,
          onclick: () => this.#toggle(state),
        },
        stateMark(state),
        count,
        h("span", null, label),
      );
      const part = h("div", { class: `progress-part state-${key}`, hidden: true });
      this.#parts.set(state, { button, count, part });
      this.#counts.append(button);
    }
    for (const state of BAR_ORDER) {
      const part = this.#parts.get(state)?.part;
      if (part) {
        this.#bar.append(part);
      }
    }
  }

  /** @param {string} state */
  #toggle(state) {
    const states = new Set(this.#model.states);
    if (!states.delete(state)) {
      states.add(state);
    }
    this.#model.setStates(states);
  }

  #paint() {
    const { store, states } = this.#model;
    const total = store.tasks.size;
    for (const [state, { button, count, part }] of this.#parts) {
      const number = store.counts.get(state) ?? 0;
      const isPressed = states.has(state);
      button.hidden = number === 0 && !isPressed;
      button.setAttribute("aria-pressed", String(isPressed));
      setText(count, format.number(number));
      part.hidden = number === 0;
      part.style.flexGrow = String(number);
    }
    const { percent } = this;
    if (Number.isNaN(percent)) {
      this.#bar.removeAttribute("aria-valuenow");
    } else {
      this.#bar.setAttribute("aria-valuenow", String(percent));
    }
    this.#bar.setAttribute("aria-valuetext", `${countsText(store.counts)} of ${format.counted(total, "task")}`);
    this.#paintState();
  }

  #paintState() {
    const status = this.#model.store.parent?.parentStatus;
    const reason = [status?.failureReason, status?.statusMessage].filter(Boolean).join(": ");
    const key = JSON.stringify([status?.state, status?.nativeState, status?.lifecycleStatus, reason, status?.name]);
    if (key === this.#stateKey) {
      return;
    }
    this.#stateKey = key;
    if (status === undefined) {
      return;
    }
    const label = stateLabel(status.state, status.nativeState);
    label.classList.add("large");
    const isOther = status.name && status.name !== this.#model.parent;
    const notes = [
      isOther ? `This is the state of ${status.name}, which has ended for good.` : "",
      status.lifecycleStatus && status.lifecycleStatus !== "CREATE_COMPLETE" ? status.lifecycleStatus : "",
    ].filter(Boolean);
    this.#state.replaceChildren(
      label,
      ...(reason ? [h("p", { class: "pre parent-reason" }, reason)] : []),
      ...notes.map((note) => h("p", { class: "small quiet" }, note)),
    );
  }

  #speak() {
    const { store } = this.#model;
    const state = store.parent?.parentStatus?.state;
    const text = [state ? stateInfo(state).label : "", countsText(store.counts)].filter(Boolean).join(": ");
    const now = this.#now();
    if (store.ready && text !== this.#lastSpoken && now - this.#spokenAt >= SPEAK_INTERVAL_MS) {
      this.#lastSpoken = text;
      this.#spokenAt = now;
      this.#spoken.textContent = text;
    }
  }
}
