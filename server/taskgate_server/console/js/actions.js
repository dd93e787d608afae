/**
 * Cancel, retry and suspend: buttons, and the dialog that shows what is affected before anything
 * changes. What an action applies to is a subject: tasks, or a parent as a whole.
 */

import { announce } from "./announce.js";
import { commandList } from "./commands.js";
import { showDialog } from "./dialogs.js";
import { fill, h } from "./dom.js";
import { errorNotice } from "./errors.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {import("./commands.js").Command} Command */

/**
 * @typedef {{verb: "cancel" | "retry" | "suspend", label: string, style: string, done: string}} Action
 */

/** @type {readonly Action[]} */
export const ACTIONS = [
  { verb: "retry", label: "Retry", style: "primary", done: "queued again" },
  { verb: "suspend", label: "Suspend", style: "primary", done: "suspended" },
  { verb: "cancel", label: "Cancel", style: "danger", done: "cancelled" },
];

/**
 * What an action applies to.
 *
 * @typedef {object} Subject
 * @property {string} what such as "3 tasks"
 * @property {boolean} takesReason whether the server records a reason
 * @property {(action: Action) => string} effect of the action, for the user
 * @property {(signal: AbortSignal) => Promise<Child[]>} preview of what is affected
 * @property {(action: Action) => Command[]} commands that do the same
 * @property {(action: Action, request: ActionRequest) => Promise<Outcome>} perform
 */

/**
 * A repeated request with the same `requestId` has no further effect.
 *
 * @typedef {{requestId: string, reason: string, onProgress: (text: string) => void}} ActionRequest
 */

/**
 * `failures` are notices of what failed, empty if nothing did.
 *
 * @typedef {{summary: string, failures: Child[]}} Outcome
 */

/** Buttons for the actions that a subject has. */
export class ActionBar {
  element;
  #options;
  /** @type {Map<Action, HTMLButtonElement>} */
  #buttons = new Map();

  /**
   * @param {readonly Action[]} actions
   * @param {() => Subject | null} subject when a button is pressed; null if there is nothing to act on
   * @param {object} options
   * @param {string} options.label of the group, for screen readers
   * @param {string} [options.noun] that follows the name of the action in each button
   * @param {(action: Action) => string} [options.unavailable] returns why an action would have no
   *   effect now; empty if it has one
   * @param {() => void} [options.onDone]
   */
  constructor(actions, subject, { label, noun = "", unavailable = () => "", onDone = () => {} }) {
    this.#options = { subject, unavailable, onDone };
    for (const action of actions) {
      const text = [action.label, noun].filter(Boolean).join(" ");
      this.#buttons.set(action, h("button", { type: "button", onclick: () => this.#press(action) }, text));
    }
    this.element = h("div", { class: "row actions", role: "group", "aria-label": label }, [...this.#buttons.values()]);
    this.update();
  }

  /** Show which actions would have no effect. They keep the focus, unlike disabled buttons. */
  update() {
    for (const [action, button] of this.#buttons) {
      const reason = this.#options.unavailable(action);
      if (button.title === reason && button.hasAttribute("aria-disabled")) continue;
      button.setAttribute("aria-disabled", String(reason !== ""));
      button.title = reason;
    }
  }

  /** @param {Action} action */
  #press(action) {
    const { subject, unavailable, onDone } = this.#options;
    const reason = unavailable(action);
    if (reason) return announce(reason);
    const affected = subject();
    if (affected) confirmAction(action, affected, onDone);
  }
}

/**
 * Show the preview of an action, and perform it when the user confirms.
 *
 * @param {Action} action
 * @param {Subject} subject
 * @param {() => void} onDone
 */
function confirmAction(action, subject, onDone) {
  const controller = new AbortController();
  const requestId = randomId();
  const title = `${action.label} ${subject.what}`;
  const reason = h("input", { type: "text", maxlength: "1000", autocomplete: "off" });
  const preview = h("div", { class: "preview" }, h("p", { class: "loading" }, "Reading the tasks"));
  const outcome = h("div", { class: "stack", role: "status" });
  const confirm = h("button", { type: "submit", class: action.style }, title);
  const back = h("button", { type: "button" }, "Back");
  let isRunning = false;

  const dialog = showDialog(
    `${title}?`,
    () => [
      h("p", { class: "small" }, subject.effect(action)),
      preview,
      subject.takesReason ? reasonField(reason) : "",
      h(
        "details",
        null,
        h("summary", { class: "small" }, "The same as a command"),
        commandList(subject.commands(action)),
      ),
      outcome,
      h("div", { class: "row end" }, back, confirm),
    ],
    run,
  );
  back.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => controller.abort());
  showPreview(preview, subject, controller.signal);

  async function run() {
    if (isRunning) return;
    isRunning = true;
    confirm.setAttribute("aria-disabled", "true");
    const showProgress = (/** @type {string} */ text) => fill(outcome, h("p", { class: "loading" }, text));
    showProgress(title);
    try {
      const request = { requestId, reason: reason.value.trim(), onProgress: showProgress };
      const { summary, failures } = await subject.perform(action, request);
      onDone();
      announce(summary);
      if (failures.length === 0) return void dialog.close();
      fill(outcome, h("p", { class: "small" }, `${summary}:`), failures);
      confirm.hidden = true;
      back.textContent = "Close";
    } catch (error) {
      fill(outcome, errorNotice(error, { title: `${action.label} failed` }));
      confirm.removeAttribute("aria-disabled");
    } finally {
      isRunning = false;
    }
  }
}

/** @param {HTMLInputElement} input */
function reasonField(input) {
  return h(
    "label",
    { class: "field" },
    h("span", null, "Reason ", h("span", { class: "quiet" }, "(optional, for the server's log)")),
    input,
  );
}

/**
 * @param {HTMLElement} root
 * @param {Subject} subject
 * @param {AbortSignal} signal
 */
async function showPreview(root, subject, signal) {
  try {
    fill(root, await subject.preview(signal));
  } catch (error) {
    if (!signal.aborted) fill(root, errorNotice(error, { title: "What is affected cannot be read" }));
  }
}

/** Return a new idempotency key. (`crypto.randomUUID` exists only on pages with TLS.) */
function randomId() {
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return Array.from(bytes, (each) => each.toString(16).padStart(2, "0")).join("");
}
