/**
 * Where a page is: links to what contains it.
 */

import { h } from "./dom.js";
import { hrefOf } from "./find.js";
import { pathOf, shortId } from "./names.js";
import { href } from "./router.js";

/** @type {Record<string, string>} */
const SERVICES = { deadline: "Deadline Cloud", omics: "HealthOmics" };

/**
 * Return links to what contains a resource, the resource itself last.
 *
 * @param {string} name of the resource, or of an AWS service
 * @returns {HTMLElement}
 */
export function crumbs(name) {
  const service = name.split("/")[0] ?? "";
  const steps = [
    { text: "Start", title: "", to: href("") },
    { text: SERVICES[service] ?? service, title: "", to: href("", "", { in: service }) },
    ...pathOf(name).map(({ kind, label, id, name: each }) => ({
      // Deadline Cloud's ids say what they are: "job-042b1e…".
      text: id.startsWith(label.toLowerCase()) ? shortId(id) : `${label} ${shortId(id)}`,
      title: id,
      to: hrefOf({ kind, name: each }),
    })),
  ];
  return h(
    "nav",
    { class: "crumbs", "aria-label": "Location" },
    h(
      "ol",
      null,
      steps.map(({ text, title, to }, index) =>
        h(
          "li",
          null,
          index === steps.length - 1
            ? h("span", { "aria-current": "page", title }, text)
            : h("a", { href: to, title }, text),
        ),
      ),
    ),
  );
}
