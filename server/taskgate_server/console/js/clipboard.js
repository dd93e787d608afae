/**
 * Buttons that copy a text.
 */

import { announce } from "./announce.js";
import { h } from "./dom.js";

/** How long the button shows what it has done. */
const COPIED_MS = 1500;
const SELECTED_MS = 5000;

/**
 * Return a button that copies what an element shows to the clipboard. Where a browser denies that,
 * as over plain HTTP, it selects the text instead.
 *
 * @param {HTMLElement} source
 * @param {string} what is copied, for screen readers
 */
export function copyButton(source, what) {
  const label = "Copy";
  const button = h("button", { type: "button", class: "plain", "aria-label": `${label} ${what}` }, label);
  button.addEventListener("click", async () => {
    const isCopied = await copy(source.textContent);
    if (!isCopied) getSelection()?.selectAllChildren(source);
    button.textContent = isCopied ? "Copied" : "Selected: copy it with the keyboard";
    announce(isCopied ? `Copied ${what}` : `The browser denies copying. Selected ${what}: copy it with the keyboard`);
    setTimeout(() => {
      button.textContent = label;
    }, isCopied ? COPIED_MS : SELECTED_MS);
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
