/**
 * Start of the console: the bar at the top, and the page of the address.
 */

import { errorNotice } from "./errors.js";
import { fill } from "./dom.js";
import { startRouter } from "./router.js";
import { session } from "./session.js";
import { topBar } from "./top.js";

/** @typedef {import("./router.js").Page} Page */

/**
 * The pages, loaded when they are first shown.
 *
 * @type {Record<string, () => Promise<{page: Page}>>}
 */
const PAGES = {
  "": () => import("./pages/start.js"),
  parent: () => import("./pages/parent.js"),
  task: () => import("./pages/task.js"),
};

const main = /** @type {HTMLElement} */ (document.getElementById("main"));
const top = /** @type {HTMLElement} */ (document.getElementById("top"));

const show = startRouter(
  main,
  async (kind) => {
    const load = PAGES[kind];
    if (!load) throw new Error(`The console has no page "${kind}". Check the address.`);
    return (await load()).page;
  },
  // Some browsers remember that a module could not be loaded until the page is.
  (root, error) => fill(root, errorNotice(error, { onRetry: () => location.reload() })),
);

top.append(...topBar());
session.addEventListener("token", show);

// The fragment of the address is the route, so that a link to an element cannot be followed.
document.getElementById("skip")?.addEventListener("click", (event) => {
  event.preventDefault();
  main.focus();
});
