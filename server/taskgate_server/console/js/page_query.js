/** The part of a parent page that its address has: view, filter, focus and selection. It has no DOM. */

import { SORT_COLUMNS } from "./sorting.js";
import { STATES } from "./states.js";

export const VIEWS = /** @type {const} */ (["grid", "timeline", "table"]);
/** @typedef {typeof VIEWS[number]} View */

/** More selected tasks than this are left out: addresses have a limit of about 8 KB in many programs. */
export const MAX_SELECTED = 50;

/**
 * @typedef {object} PageQuery
 * @property {View} view
 * @property {string} filter
 * @property {Set<string>} states
 * @property {import("./sorting.js").Sort} sort
 * @property {string} focused a resource name
 * @property {string[]} selected
 */

/**
 * Return what the query of an address says. Unknown values count as absent.
 *
 * @param {string} parent
 * @param {URLSearchParams} query
 * @returns {PageQuery}
 */
export function readQuery(parent, query) {
  const keys = new Set((query.get("states") ?? "").split(","));
  const [column = "", direction = ""] = (query.get("sort") ?? "").split(":");
  const isSorted = SORT_COLUMNS.has(column);
  const focused = query.get("task");
  return {
    view: VIEWS.find((each) => each === query.get("view")) ?? "grid",
    filter: query.get("filter") ?? "",
    states: new Set(STATES.filter(({ key }) => keys.has(key)).map(({ state }) => state)),
    sort: { column: isSorted ? column : "", descending: isSorted && direction === "desc" },
    focused: focused ? `${parent}/${focused}` : "",
    selected: (query.get("select") ?? "")
      .split(",")
      .filter(Boolean)
      .map((each) => `${parent}/${each}`),
  };
}

/**
 * Return the query for a state of the page. Defaults are empty, which removes them from the address.
 *
 * @param {string} parent
 * @param {Omit<PageQuery, "selected"> & {selected: Iterable<string>}} state
 * @returns {Record<string, string>}
 */
export function writeQuery(parent, { view, filter, states, sort, focused, selected }) {
  const names = [...selected];
  /** @param {string} name */
  const relative = (name) => name.slice(parent.length + 1);
  return {
    view: view === "grid" ? "" : view,
    filter,
    states: STATES.filter(({ state }) => states.has(state))
      .map(({ key }) => key)
      .join(","),
    sort: sort.column ? `${sort.column}:${sort.descending ? "desc" : "asc"}` : "",
    task: focused ? relative(focused) : "",
    select: names.length <= MAX_SELECTED ? names.map(relative).join(",") : "",
  };
}
