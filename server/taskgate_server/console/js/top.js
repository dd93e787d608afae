/**
 * The bar at the top: find, target, theme and token.
 */

import { fill, h, svg } from "./dom.js";
import { findForm } from "./find.js";
import { href, parseRoute } from "./router.js";
import { serverInfo } from "./server_info.js";
import { session } from "./session.js";
import { askForToken } from "./sign_in.js";
import { applyTheme, setTheme, theme } from "./theme.js";

/** @typedef {import("./theme.js").Theme} Theme */

const ICONS = {
  system: "M2.5 3h11v8h-11zM6 14h4M8 11v3",
  light: "M8 5a3 3 0 1 0 0 6a3 3 0 0 0 0-6ZM8 1v1.5M8 13.5V15M1 8h1.5M13.5 8H15M3 3l1 1M12 12l1 1M3 13l1-1M12 4l1-1",
  dark: "M13.5 9.5A6 6 0 1 1 6.5 2.5A5 5 0 0 0 13.5 9.5Z",
};
const LABELS = { system: "Theme of the system", light: "Light theme", dark: "Dark theme" };

/** @returns {Node[]} the content of the bar after the name of the application */
export function topBar() {
  applyTheme();
  const find = findForm({ compact: true });
  const target = h("div", { hidden: true });
  const update = () => {
    // The start page has a larger one of its own.
    find.hidden = parseRoute(location.hash).kind === "";
    showTargets(target);
  };
  addEventListener("hashchange", update);
  session.addEventListener("token", update);
  update();
  return [find, h("div", { class: "tools" }, target, themeButton(), tokenButton())];
}

/**
 * Show the choice of a target, if there is one.
 *
 * @param {HTMLElement} root
 */
async function showTargets(root) {
  let names;
  try {
    names = ((await serverInfo()).targets ?? []).map((each) => each.name);
  } catch {
    return; // The page shows the error.
  }
  const chosen = session.target || "default";
  root.hidden = names.length < 2 && chosen === "default";
  if (root.hidden) return;
  const select = h(
    "select",
    { "aria-label": "Target: AWS account and region" },
    [...new Set([...names, chosen])].map((name) =>
      h("option", { value: name, selected: name === chosen }, name),
    ),
  );
  select.addEventListener("change", () => {
    const { kind, name, query } = parseRoute(location.hash);
    query.delete("target");
    session.target = select.value === "default" ? "" : select.value;
    location.hash = href(kind, name, query);
  });
  fill(root, select);
}

/** Return the button that changes the theme. */
function themeButton() {
  const button = h("button", { type: "button", class: "plain icon" });
  const show = () => {
    const chosen = theme();
    fill(button, icon(ICONS[chosen]));
    button.setAttribute("aria-label", `${LABELS[chosen]}. Change`);
    button.title = LABELS[chosen];
  };
  button.addEventListener("click", () => {
    /** @type {Theme[]} */
    const order = ["system", "light", "dark"];
    setTheme(order[(order.indexOf(theme()) + 1) % order.length] ?? "system");
    show();
  });
  show();
  return button;
}

/** Return the button that opens the dialog for a token. */
function tokenButton() {
  const button = h("button", { type: "button", class: "plain", onclick: askForToken });
  const show = () => {
    button.textContent = session.token ? "Signed in" : "Sign in";
    button.title = session.token ? "Change or remove the token" : "";
  };
  session.addEventListener("token", show);
  show();
  return button;
}

/** @param {string} path */
function icon(path) {
  return svg(
    "svg",
    { viewBox: "0 0 16 16", "aria-hidden": "true", focusable: "false", class: "icon-lines" },
    svg("path", { d: path }),
  );
}
