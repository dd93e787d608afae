/**
 * The routes of the console, all in the fragment of the address: `#/`, `#/parent/<name>` and
 * `#/task/<name>`, each with an optional query, such as `?target=studio`.
 *
 * A link therefore works without support by the server, below any path, and never reaches its log.
 */

import { fill } from "./dom.js";
import { session } from "./session.js";

/** @typedef {{kind: string, name: string, query: URLSearchParams}} Route */
/** @typedef {{name: string, query: URLSearchParams}} PageParams */
/** @typedef {(root: HTMLElement, params: PageParams, context: {signal: AbortSignal}) => void} Page */

const APPLICATION = "Taskgate";
const DEFAULT_TARGET = "default";

/**
 * Return the route in a fragment.
 *
 * @param {string} hash such as "#/task/omics/runs/1/tasks/2?target=lab"
 * @returns {Route}
 */
export function parseRoute(hash) {
  const text = hash.replace(/^#?\/?/, "");
  const mark = text.indexOf("?");
  const path = mark < 0 ? text : text.slice(0, mark);
  const [kind = "", ...segments] = path.split("/").map(decode);
  return {
    kind,
    name: segments.join("/"),
    query: new URLSearchParams(mark < 0 ? "" : text.slice(mark + 1)),
  };
}

/**
 * Return the fragment of a route. The target of the session is kept.
 *
 * @param {string} kind "" for the start page, "parent" or "task"
 * @param {string} [name]
 * @param {Record<string, string> | URLSearchParams} [query] empty values are left out
 * @returns {string}
 */
export function href(kind, name = "", query = {}) {
  const path = [kind, ...name.split("/")].filter(Boolean).map(encodeURIComponent).join("/");
  const entries = query instanceof URLSearchParams ? [...query] : Object.entries(query);
  const all = new URLSearchParams(entries.filter(([, value]) => value));
  if (session.target && !all.has("target")) all.set("target", session.target);
  if (all.get("target") === DEFAULT_TARGET) all.delete("target");
  const text = all.toString();
  return `#/${path}${text && `?${text}`}`;
}

/**
 * Change the query of the current page without loading it again, for example to keep a filter.
 *
 * @param {Record<string, string>} changes by key; an empty value removes the key
 */
export function replaceQuery(changes) {
  const { kind, name, query } = parseRoute(location.hash);
  for (const [key, value] of Object.entries(changes)) {
    if (value) query.set(key, value);
    else query.delete(key);
  }
  history.replaceState(history.state, "", href(kind, name, query));
}

/**
 * Set the title of the page in the browser.
 *
 * @param {string} title empty for the name of the application alone
 */
export function setTitle(title) {
  document.title = title ? `${title} · ${APPLICATION}` : APPLICATION;
}

/**
 * Show the page of the address, now and whenever it changes.
 *
 * @param {HTMLElement} root the content of this element is the page
 * @param {(kind: string) => Promise<Page>} load
 * @param {(root: HTMLElement, error: unknown) => void} onError shows that a page cannot be loaded
 * @returns {() => void} shows the current page anew
 */
export function startRouter(root, load, onError) {
  let current = new AbortController();
  let visits = 0;

  const show = async () => {
    current.abort();
    current = new AbortController();
    const { signal } = current;
    const { kind, name, query } = parseRoute(location.hash);
    const target = query.get("target") ?? "";
    session.target = target === DEFAULT_TARGET ? "" : target;
    setTitle("");
    fill(root);
    try {
      const page = await load(kind);
      if (signal.aborted) return;
      page(root, { name, query }, { signal });
    } catch (error) {
      if (!signal.aborted) onError(root, error);
    }
    // A screen reader continues at the new page; the first page is where it starts anyway.
    if (visits++ > 0 && !signal.aborted) {
      root.focus({ preventScroll: true });
      scrollTo(0, 0);
    }
  };

  addEventListener("hashchange", show);
  show();
  return show;
}

/** @param {string} segment */
function decode(segment) {
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment;
  }
}
