/**
 * The states of tasks, as the console shows them: each has a colour and a shape, and either of them
 * is enough to recognize it.
 *
 * The colours are in style.css: `--state-<key>` for an area, `--state-<key>-ink` for what is drawn
 * on it.
 */

import { h, svg } from "./dom.js";

/**
 * A state: `shape` is a path in a square of 16 by 16, for SVG and for `Path2D`.
 *
 * @typedef {{state: string, key: string, label: string, settled: boolean, shape: string}} StateInfo
 */

/** @type {readonly StateInfo[]} */
export const STATES = [
  define("FAILED", true, "M4 4L12 12M12 4L4 12"),
  define("BLOCKED", true, "M8 3V9.5M8 12.4V12.6"),
  define("RUNNING", false, "M6 4L12 8L6 12Z"),
  define("STARTING", false, "M8 12V4M4.5 7.5L8 4L11.5 7.5"),
  define("STOPPING", false, "M5 5H11V11H5Z"),
  define("QUEUED", false, "M4 5.5H12M4 10.5H12"),
  define("PENDING", false, "M4 8H4.2M8 8H8.2M12 8H12.2"),
  define("SUSPENDED", true, "M6 4V12M10 4V12"),
  define("CANCELLED", true, "M3.5 12.5L12.5 3.5"),
  define("SUCCEEDED", true, "M3.5 8.5L6.5 11.5L12.5 4.5"),
  define("UNRECOGNIZED", false, "M5.5 6A2.5 2.5 0 1 1 8 8.6V9.6M8 12.4V12.6"),
];

const BY_STATE = new Map(STATES.map((each) => [each.state, each]));
const UNKNOWN = /** @type {StateInfo} */ (BY_STATE.get("TASK_STATE_UNRECOGNIZED"));

/**
 * Return how to show a state. A state that this version does not know is shown as unrecognized.
 *
 * @param {string | number | undefined} state such as "TASK_STATE_RUNNING"
 * @returns {StateInfo}
 */
export function stateInfo(state) {
  return BY_STATE.get(String(state)) ?? UNKNOWN;
}

/**
 * Return the mark of a state: its colour and shape. The text beside it says the same.
 *
 * @param {string | number | undefined} state
 * @returns {SVGSVGElement}
 */
export function stateMark(state) {
  const { key, shape } = stateInfo(state);
  return svg(
    "svg",
    { class: `mark state-${key}`, viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false" },
    svg("rect", { class: "mark-area", x: 0.5, y: 0.5, width: 15, height: 15, rx: 3.5 }),
    svg("path", { class: "mark-shape", d: shape }),
  );
}

/**
 * Return a label of a state.
 *
 * @param {string | number | undefined} state
 * @param {string} [nativeState] AWS's word, shown if it says something else
 * @returns {HTMLElement}
 */
export function stateLabel(state, nativeState = "") {
  const { key, label } = stateInfo(state);
  const differs = nativeState && nativeState.toUpperCase() !== label.toUpperCase();
  return h(
    "span",
    { class: `state-label state-${key}` },
    stateMark(state),
    h("span", null, label),
    differs && h("span", { class: "quiet" }, nativeState),
  );
}

/**
 * AWS's words for states of jobs and runs that differ from those of TaskState.
 *
 * @type {Record<string, string>}
 */
const NATIVE = {
  READY: "QUEUED",
  ASSIGNED: "QUEUED",
  SCHEDULED: "QUEUED",
  INTERRUPTING: "STOPPING",
  CANCELED: "CANCELLED",
  COMPLETED: "SUCCEEDED",
  DELETED: "CANCELLED",
  NOT_COMPATIBLE: "BLOCKED",
};

/**
 * Return a label of a state in AWS's words, as AWS's own operations return it.
 *
 * @param {string} nativeState such as "COMPLETED"
 * @returns {HTMLElement}
 */
export function nativeLabel(nativeState) {
  return stateLabel(`TASK_STATE_${NATIVE[nativeState] ?? nativeState}`, nativeState);
}

/**
 * @param {string} name
 * @param {boolean} settled
 * @param {string} shape
 * @returns {StateInfo}
 */
function define(name, settled, shape) {
  return {
    state: `TASK_STATE_${name}`,
    key: name.toLowerCase(),
    label: name.charAt(0) + name.slice(1).toLowerCase(),
    settled,
    shape,
  };
}
