/**
 * Values that are hidden until the user reveals them: those of task parameters, which may be
 * secrets, also where AWS's own message repeats them.
 */

import { h } from "./dom.js";

export const HIDDEN = "••••••";

/** Whether the values of a page are shown; dispatches `change`. */
export class Reveal extends EventTarget {
  isShown = false;

  /** @returns {HTMLButtonElement} a button that shows and hides the values */
  button() {
    const button = h("button", { type: "button", class: "plain" });
    const update = () => {
      button.textContent = this.isShown ? "Hide the values" : "Reveal the values";
      button.setAttribute("aria-pressed", String(this.isShown));
    };
    button.addEventListener("click", () => {
      this.isShown = !this.isShown;
      update();
      this.dispatchEvent(new Event("change"));
    });
    update();
    return button;
  }
}

/**
 * Return a message without the values below its members called `parameters`.
 *
 * @param {unknown} message
 * @returns {unknown}
 */
export function withoutParameters(message) {
  if (Array.isArray(message)) return message.map(withoutParameters);
  if (!message || typeof message !== "object") return message;
  return Object.fromEntries(
    Object.entries(message).map(([key, value]) => [
      key,
      key === "parameters" ? masked(value) : withoutParameters(value),
    ]),
  );
}

/**
 * @param {unknown} value
 * @returns {unknown} the same structure with every value hidden
 */
function masked(value) {
  if (Array.isArray(value)) return value.map(masked);
  if (!value || typeof value !== "object") return HIDDEN;
  return Object.fromEntries(Object.entries(value).map(([key, each]) => [key, masked(each)]));
}
