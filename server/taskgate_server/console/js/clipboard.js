/**
 * Buttons that copy a text.
 */

import { announce } from "./announce.js";
import { h } from "./dom.js";

const SHOWN_MS = 1500;

/**
 * Return a button that copies a text to the clipboard.
 *
 * @param {string | (() => string)} text
 * @param {{label?: string, what: string}} options `what` is copied, for screen readers
 */
export function copyButton(text, { label = "Copy", what }) {
  const button = h("button", { type: "button", class: "plain", "aria-label": `${label} ${what}` }, label);
  button.addEventListener("click", async () => {
    const value = typeof text === "function" ? text() : text;
    const done = await copy(value);
    button.textContent = done ? "Copied" : "Not copied";
    announce(done ? `Copied ${what}` : `${what} cannot be copied: select the text instead`);
    setTimeout(() => {
      button.textContent = label;
    }, SHOWN_MS);
  });
  return button;
}

/**
 * @param {string} text
 * @returns {Promise<boolean>} whether it is in the clipboard
 */
async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false; // not permitted, or the page is served by plain HTTP from another machine
  }
}
