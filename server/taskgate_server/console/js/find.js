/**
 * The field that opens what a user pastes.
 */

import { h } from "./dom.js";
import { findName, PARENT_KINDS } from "./names.js";
import { href } from "./router.js";

/** @typedef {import("./names.js").ResourceName} ResourceName */

let count = 0;

/**
 * Return a form that opens the resource in a pasted text.
 *
 * @param {{compact?: boolean}} [options] `compact` for the bar at the top
 * @returns {HTMLElement}
 */
export function findForm({ compact = false } = {}) {
  const id = `find-${++count}`;
  const input = h("input", {
    id,
    type: "search",
    name: "find",
    autocomplete: "off",
    autocapitalize: "off",
    spellcheck: "false",
    placeholder: compact ? "Name, ids, ARN or link" : "omics/runs/4721906, farm-… queue-… job-…, ARN, console link",
    "aria-label": compact ? "Find a job, run or task by name, ids, ARN or link" : null,
    "aria-describedby": `${id}-problem`,
  });
  const problem = h("p", { id: `${id}-problem`, class: "find-problem small", role: "status" });
  const form = h(
    "form",
    { class: compact ? "find-box compact" : "find-box", role: "search" },
    !compact && h("label", { for: id }, "Find a job, run or task"),
    h(
      "div",
      { class: "find" },
      input,
      h("button", { type: "submit", class: compact ? "" : "primary" }, "Open"),
    ),
    problem,
  );
  const report = (/** @type {string} */ text) => {
    problem.textContent = text;
    input.toggleAttribute("aria-invalid", Boolean(text));
  };
  input.addEventListener("input", () => report(""));
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    const result = findName(input.value);
    if ("problem" in result) {
      report(result.problem || "Paste a name, ids, an ARN or a link.");
      input.focus();
      return;
    }
    input.value = "";
    location.hash = hrefOf(result.found);
  });
  return form;
}

/**
 * Return the address of the page of a resource.
 *
 * @param {Pick<ResourceName, "kind" | "name">} resource
 * @returns {string}
 */
export function hrefOf({ kind, name }) {
  if (kind === "task") return href("task", name);
  return PARENT_KINDS.has(kind) ? href("parent", name) : href("", "", { in: name });
}
