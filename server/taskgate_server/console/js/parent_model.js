/** What all views of a parent share: tasks, their order, the filter, the selection and the focus. It has no DOM. */

import { TaskOrder } from "./grouping.js";
import { shortId } from "./names.js";

/** @typedef {import("./store.js").TaskStore} TaskStore */
/** @typedef {import("./freshness.js").Freshness} Freshness */
/** @typedef {import("./grouping.js").Group} Group */

/**
 * Events: `tasks` (`detail` has the names of changed tasks), `order` (tasks were added or removed), `filter`,
 * `selection`, `focus` and `labels`.
 */
export class ParentModel extends EventTarget {
  /** Values of TaskState that show; empty for all. @type {Set<string>} */
  states = new Set();
  /** Names that match the filter expression; null without one. @type {Set<string> | null} */
  matches = null;
  /** The expression that `matches` are of; empty without one. */
  filter = "";
  /** Whether `matches` has all tasks that match; false while the server looks for them. */
  hasAllMatches = true;
  /** @type {Set<string>} */
  selected = new Set();
  /** The task that has the focus in each view; empty for none. */
  focused = "";
  /** Display names of groups by key. @type {Map<string, string>} */
  labels = new Map();

  #structure = -1;
  /** @type {string[] | null} */
  #visible = null;

  /**
   * @param {string} parent
   * @param {TaskStore} store
   * @param {Freshness} freshness
   */
  constructor(parent, store, freshness) {
    super();
    this.parent = parent;
    this.store = store;
    this.freshness = freshness;
    this.order = new TaskOrder(parent);
    store.addEventListener("change", (event) => {
      this.#update(/** @type {CustomEvent<Set<string>>} */ (event).detail);
    });
  }

  /**
   * Return whether a task passes the filter.
   *
   * @param {string} name
   */
  isVisible(name) {
    if (this.matches !== null && !this.matches.has(name)) {
      return false;
    }
    return this.states.size === 0 || this.states.has(this.store.tasks.get(name)?.state ?? "");
  }

  get isFiltered() {
    return this.matches !== null || this.states.size > 0;
  }

  /** Return the names of the tasks that pass the filter, in order. Do not change the array. */
  visibleNames() {
    if (!this.isFiltered) {
      return this.order.names;
    }
    this.#visible ??= this.order.names.filter((name) => this.isVisible(name));
    return this.#visible;
  }

  /** @param {Set<string>} states */
  setStates(states) {
    this.states = states;
    this.#filterChanged();
  }

  /**
   * @param {Set<string> | null} matches
   * @param {{filter?: string, isComplete?: boolean}} [source] the expression, and whether these are all of its matches
   */
  setMatches(matches, { filter = "", isComplete = true } = {}) {
    this.matches = matches;
    this.filter = filter;
    this.hasAllMatches = isComplete;
    this.#filterChanged();
  }

  /** @param {string} name */
  setFocus(name) {
    if (name !== this.focused) {
      const detail = this.focused;
      this.focused = name;
      this.dispatchEvent(new CustomEvent("focus", { detail }));
    }
  }

  /** @param {string} name */
  toggle(name) {
    const isSelected = this.selected.has(name);
    this.select(isSelected ? [] : [name], isSelected ? [name] : []);
  }

  /**
   * @param {Iterable<string>} added
   * @param {Iterable<string>} [removed]
   */
  select(added, removed = []) {
    const detail = new Set();
    for (const name of removed) {
      if (this.selected.delete(name)) {
        detail.add(name);
      }
    }
    for (const name of added) {
      if (!this.selected.has(name)) {
        this.selected.add(name);
        detail.add(name);
      }
    }
    if (detail.size > 0) {
      this.dispatchEvent(new CustomEvent("selection", { detail }));
    }
  }

  clearSelection() {
    this.select([], [...this.selected]);
  }

  /**
   * @param {Group} group
   * @param {string} label
   */
  setLabel(group, label) {
    this.labels.set(group.key, label);
    this.dispatchEvent(new Event("labels"));
  }

  /**
   * Return what to call a group.
   *
   * @param {Group | undefined} group
   */
  labelOf(group) {
    return group === undefined ? "" : (this.labels.get(group.key) ?? shortId(group.label));
  }

  /** @param {Set<string>} names */
  #update(names) {
    const { store, order } = this;
    this.#visible = this.states.size > 0 ? null : this.#visible;
    if (store.structure !== this.#structure) {
      this.#structure = store.structure;
      order.update(names, store.tasks);
      if (order.refresh()) {
        this.#visible = null;
        this.select([], [...this.selected].filter((name) => store.ready && !store.tasks.has(name)));
        this.dispatchEvent(new Event("order"));
      }
    }
    this.dispatchEvent(new CustomEvent("tasks", { detail: names }));
  }

  #filterChanged() {
    this.#visible = null;
    this.dispatchEvent(new Event("filter"));
  }
}
