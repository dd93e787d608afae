/**
 * The parts of the task page that show what AWS reports about a task.
 */

import { copyButton } from "./clipboard.js";
import { commandList, curl, taskgate } from "./commands.js";
import { fill, h } from "./dom.js";
import { hrefOf } from "./find.js";
import { duration, secondsBetween, time } from "./format.js";
import { pathOf } from "./names.js";
import { HIDDEN, withoutParameters } from "./sensitive.js";
import { nativeLabel, stateInfo, stateLabel } from "./states.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {import("./task_watch.js").Task} Task */
/** @typedef {import("./sensitive.js").Reveal} Reveal */
/** @typedef {import("./attempts.js").Attempt} Attempt */

/**
 * Return the state of a task, and why it is in it.
 *
 * @param {Task} task
 * @param {HTMLElement} runTime see `runTime`
 * @returns {Child[]}
 */
export function statePart(task, runTime) {
  const { key } = stateInfo(task.state);
  const label = stateLabel(task.state, task.nativeState);
  label.classList.add("large");
  const reasons = [task.failureReason, task.statusMessage].filter(
    (each, index, all) => each && all.indexOf(each) === index,
  );
  return [
    h(
      "div",
      { class: "row state-line" },
      label,
      task.targetState &&
        task.targetState !== task.state &&
        h("span", { class: "quiet" }, "changing to ", stateInfo(task.targetState).label.toLowerCase()),
      runTime,
    ),
    reasons.length > 0 &&
      h(
        "div",
        { class: "notice", "data-kind": key === "failed" || key === "blocked" ? "error" : null },
        reasons.map((each) => h("p", { class: "pre" }, each)),
      ),
  ];
}

/**
 * Return how long a task has been running, or had run until it ended.
 *
 * @param {Task} task
 * @param {number} now in milliseconds
 * @returns {string} empty for a task that has not run
 */
export function runTime(task, now) {
  const { settled } = stateInfo(task.state);
  if (settled && !task.endTime) return "";
  const seconds = secondsBetween(task.startTime, settled ? task.endTime : undefined, now);
  if (!Number.isFinite(seconds)) return "";
  return `${settled ? "after" : "for"} ${duration(seconds)}`;
}

/**
 * Return the facts about a task: its times, its resources and its name.
 *
 * @param {Task} task
 * @returns {HTMLElement}
 */
export function factsPart(task) {
  const { cpus, memoryGib, gpus, instanceType } = task.resources ?? {};
  const name = h("span", { class: "mono one-line", title: task.name }, task.name);
  return facts([
    ["Created", time(task.createTime)],
    ["Started", time(task.startTime)],
    ["Ended", time(task.endTime)],
    ["Changed", time(task.updateTime)],
    ["Waited", waited(task)],
    ["Retries", task.retryCount],
    ["Instance", instanceType],
    ["CPUs", cpus],
    ["Memory", memoryGib === undefined ? null : `${memoryGib} GiB`],
    ["GPUs", gpus],
    ...pathOf(task.name)
      .slice(0, -1)
      .map(({ kind, label, id, name }) => /** @type {[string, Child]} */ ([
        label,
        h("a", { href: hrefOf({ kind, name }), class: "mono" }, id),
      ])),
    [
      "Name",
      h("span", { class: "with-copy" }, name, copyButton(name, "the resource name")),
    ],
  ]);
}

/**
 * Return the parameters of a task; null if it has none.
 *
 * @param {Task} task
 * @param {Reveal} reveal
 * @returns {HTMLElement | null}
 */
export function parametersPart(task, reveal) {
  const parameters = Object.entries(task.parameters ?? {});
  if (parameters.length === 0) return null;
  return h(
    "div",
    { class: "scroll" },
    h(
      "table",
      { class: "data" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["Parameter", "Type", "Value"].map((each) => h("th", { scope: "col" }, each)),
        ),
      ),
      h(
        "tbody",
        null,
        parameters.map(([name, value]) => {
          const [type = "", text = ""] = Object.entries(value)[0] ?? [];
          const isUnknown = type === "unknownMember";
          return h(
            "tr",
            null,
            h("th", { scope: "row" }, name),
            h("td", { class: "quiet" }, isUnknown ? text : TYPES[type] ?? type),
            h(
              "td",
              { class: "mono value" },
              isUnknown
                ? h("span", { class: "quiet" }, "not available")
                : reveal.isShown
                  ? text
                  : h("span", { role: "img", "aria-label": "hidden" }, HIDDEN),
            ),
          );
        }),
      ),
    ),
  );
}

/** @type {Record<string, string>} */
const TYPES = { int: "int", float: "float", string: "string", path: "path", chunkInt: "chunk of ints" };

/**
 * Return AWS's message about a task.
 *
 * @param {Task} task
 * @param {Reveal} reveal
 * @returns {HTMLElement}
 */
export function nativePart(task, reveal) {
  const native = task.deadline ?? task.omics ?? task.other ?? {};
  const text = JSON.stringify(reveal.isShown ? native : withoutParameters(native), null, 2);
  return h(
    "div",
    { class: "stack" },
    h("pre", { class: "native", tabindex: "0", "aria-label": "AWS's response" }, text),
  );
}

/**
 * Return the attempts of a task.
 *
 * @param {Attempt[]} attempts
 * @param {(attempt: number) => void} onLog shows the log of an attempt
 * @returns {HTMLElement}
 */
export function attemptsPart(attempts, onLog) {
  return h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": "Attempts" },
    h(
      "table",
      { class: "data" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          ["No.", "State", "Started", "Duration", "", "Log"].map((each) =>
            h("th", { scope: "col" }, each || h("span", { class: "visually-hidden" }, "Details")),
          ),
        ),
      ),
      h(
        "tbody",
        null,
        attempts.map((each) => {
          const seconds = each.endTime
            ? secondsBetween(each.startTime, each.endTime, Number.NaN)
            : Number.NaN;
          return h(
            "tr",
            { "aria-current": each.isCurrent ? "true" : null },
            h("th", { scope: "row" }, each.number),
            h("td", null, nativeLabel(each.nativeState)),
            h("td", null, time(each.startTime)),
            h("td", { class: "numeric" }, duration(seconds)),
            h("td", { class: "quiet" }, each.detail),
            h("td", null, logControl(each, onLog)),
          );
        }),
      ),
    ),
  );
}

/**
 * Return what shows the log of an attempt: its page, if another task represents it.
 *
 * @param {Attempt} attempt
 * @param {(attempt: number) => void} onLog
 */
function logControl(attempt, onLog) {
  if (attempt.isCurrent) return h("span", { class: "quiet" }, "this task");
  const label = `Log of attempt ${attempt.number}`;
  if (attempt.name) {
    const to = hrefOf({ kind: "task", name: attempt.name });
    return h("a", { href: to, "aria-label": `Task of attempt ${attempt.number}` }, "Open");
  }
  return h(
    "button",
    { type: "button", class: "plain", "aria-label": label, onclick: () => onLog(attempt.number) },
    "Show",
  );
}

/**
 * Return the commands that show the same.
 *
 * @param {string} name of the task
 * @returns {HTMLElement}
 */
export function commandsPart(name) {
  return commandList([
    { title: "This task", text: taskgate("get", name) },
    { title: "Its log", text: taskgate("logs", "-f", name) },
    { title: "Wait for it", text: taskgate("wait", name) },
    { title: "RPC", text: curl("taskgate.v1.TaskService/GetTask", { name }) },
  ]);
}

/**
 * Return a list of terms with their values, without those that are absent.
 *
 * @param {[string, Child][]} pairs
 */
function facts(pairs) {
  const list = h("dl", { class: "facts" });
  return fill(
    list,
    pairs
      .filter(([, value]) => value !== null && value !== undefined && value !== "")
      .map(([term, value]) => h("div", null, h("dt", null, term), h("dd", null, value))),
  );
}

/** @param {Task} task */
function waited({ createTime, startTime }) {
  if (!createTime || !startTime) return null;
  const seconds = secondsBetween(createTime, startTime, Number.NaN);
  return seconds >= 0 ? duration(seconds) : null;
}
