/**
 * Modal dialogs: the browser keeps the focus inside, closes them with Escape, and returns the focus.
 */

import { h } from "./dom.js";

let count = 0;

/**
 * Show a dialog with a form, until it is closed.
 *
 * @param {string} title
 * @param {(close: () => void) => (Node | string)[]} content
 * @param {() => void} onSubmit
 * @returns {HTMLDialogElement}
 */
export function showDialog(title, content, onSubmit) {
  const id = `dialog-${++count}`;
  const dialog = h("dialog", { "aria-labelledby": id });
  const close = () => dialog.close();
  const form = h(
    "form",
    {
      // The page's policy forbids forms to send anything; they only collect.
      onsubmit: (/** @type {Event} */ event) => {
        event.preventDefault();
        onSubmit();
      },
    },
    h("h2", { id }, title),
    content(close),
  );
  dialog.append(form);
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  return dialog;
}
