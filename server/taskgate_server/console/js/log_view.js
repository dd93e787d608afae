/**
 * The log of a task, as it is written.
 */

import { fill, h } from "./dom.js";
import { errorNotice } from "./errors.js";
import { timeOfDay } from "./format.js";
import { followLog, TAIL } from "./log_lines.js";

/** @typedef {import("./log_lines.js").LogLine} LogLine */

/** Lines that the page keeps; the first ones are dropped. */
const MAX_LINES = 10_000;
/** Characters of a line that are shown: a line of CloudWatch Logs may have 1 MiB. */
const MAX_CHARACTERS = 4000;
const AT_END_PIXELS = 24;
/** Colours and other control sequences of terminals. */
const CONTROL = /\u001b\[[0-9;?]*[ -/]*[@-~]|[\u0000-\u0008\u000b-\u001f\u007f]/g;

/**
 * Return the panel with the log of a task.
 *
 * @param {string} name of the task
 * @param {AbortSignal} signal
 * @returns {{element: HTMLElement, show: (attempt: number | undefined) => void}} `show` starts with
 *   another attempt; undefined for the latest and all later ones
 */
export function logView(name, signal) {
  let reading = new AbortController();
  const lines = h("div", {
    class: "log",
    role: "log",
    "aria-live": "off", // Hundreds of lines would drown everything else.
    "aria-label": "Log",
    tabindex: "0",
  });
  const status = h("p", { class: "small quiet", role: "status" });
  const notices = h("div");
  const follow = checkbox("Follow", true);
  const times = checkbox("Times", true);
  const wrap = checkbox("Wrap", true);
  times.input.addEventListener("change", () => lines.classList.toggle("no-times", !times.input.checked));
  wrap.input.addEventListener("change", () => lines.classList.toggle("no-wrap", !wrap.input.checked));
  follow.input.addEventListener("change", () => follow.input.checked && scrollToEnd(lines));
  lines.addEventListener("scroll", () => {
    follow.input.checked = isAtEnd(lines);
  });

  const show = async (/** @type {number | undefined} */ attempt) => {
    reading.abort();
    reading = new AbortController();
    const { signal: current } = reading;
    signal.addEventListener("abort", () => reading.abort(), { signal: current });
    fill(lines);
    fill(notices);
    status.textContent = "Loading the log";
    follow.input.checked = true;
    const writer = lineWriter(lines, () => follow.input.checked);
    let where = "";
    let count = 0;
    const describe = (/** @type {string} */ text) => {
      status.textContent = [text, where].filter(Boolean).join(" · ");
    };
    try {
      await followLog(name, attempt, {
        signal: current,
        onSource: (source) => {
          where = source.attemptCount
            ? `attempt ${source.attempt ?? 1} of ${source.attemptCount}`
            : "the task has not run yet";
          if (count > 0) writer.separator(`Attempt ${source.attempt ?? "?"}`);
          describe("Live");
        },
        onLines: (some) => {
          count += some.length;
          writer.add(some);
        },
        onStatus: ({ state }) => describe(STATUS[state]),
      });
      if (!current.aborted) describe(count ? "Complete" : "The log is empty");
    } catch (error) {
      if (current.aborted) return;
      status.textContent = where;
      fill(notices, errorNotice(error, { title: "The log cannot be read", onRetry: () => show(attempt) }));
    }
    if (count >= TAIL) describe(`The last ${TAIL} lines and those after them`);
  };

  const element = h(
    "section",
    { class: "panel log-panel", "aria-labelledby": "log-title" },
    h(
      "header",
      null,
      h("h2", { id: "log-title" }, "Log"),
      status,
      h("div", { class: "row" }, follow.label, times.label, wrap.label),
    ),
    notices,
    lines,
  );
  return { element, show };
}

/** @type {Record<import("./reconnect.js").StreamStatus["state"], string>} */
const STATUS = { live: "Live", reconnecting: "Interrupted, reconnecting", paused: "Paused" };

/**
 * Return functions that add lines, at most once per frame.
 *
 * @param {HTMLElement} root
 * @param {() => boolean} isFollowing
 */
function lineWriter(root, isFollowing) {
  /** @type {HTMLElement[]} */
  let waiting = [];
  const flush = () => {
    root.append(...waiting.slice(-MAX_LINES));
    waiting = [];
    const excess = root.childElementCount - MAX_LINES;
    for (let index = 0; index < excess; index += 1) root.firstElementChild?.remove();
    if (isFollowing()) scrollToEnd(root);
  };
  const push = (/** @type {HTMLElement[]} */ elements) => {
    if (waiting.length === 0) requestAnimationFrame(flush);
    waiting.push(...elements);
  };
  return {
    add: (/** @type {LogLine[]} */ lines) => push(lines.map(lineElement)),
    separator: (/** @type {string} */ text) => push([h("div", { class: "log-separator" }, text)]),
  };
}

/** @param {LogLine} line */
function lineElement({ time, message = "" }) {
  const text = message.slice(0, MAX_CHARACTERS).replace(CONTROL, "").trimEnd();
  return h(
    "div",
    { class: "log-line" },
    h("time", { datetime: time, title: time }, timeOfDay(time)),
    h("span", null, text || " ", message.length > MAX_CHARACTERS && " … (cut)"),
  );
}

/**
 * @param {string} text
 * @param {boolean} checked
 */
function checkbox(text, checked) {
  const input = h("input", { type: "checkbox", checked });
  return { input, label: h("label", { class: "check" }, input, text) };
}

/** @param {HTMLElement} element */
function isAtEnd({ scrollHeight, scrollTop, clientHeight }) {
  return scrollHeight - scrollTop - clientHeight < AT_END_PIXELS;
}

/** @param {HTMLElement} element */
function scrollToEnd(element) {
  element.scrollTop = element.scrollHeight;
}
