/** The order of the tasks of a parent: groups, which are steps, and the tasks of each. */

import { compareNames } from "./natural_order.js";

/** @typedef {import("./task_record.js").Task} Task */

/**
 * @typedef {object} Group
 * @property {string} key
 * @property {string} resource the resource name of the step; empty if the group is not a resource
 * @property {string} label what to call the group until its display name is known
 * @property {string[]} names the tasks, in order
 * @property {number} start position of the first task among all tasks
 * @property {number} createTime of the oldest task
 */

/**
 * Return the group of a task of a parent.
 *
 * It follows from names: what is between the parent and the task is the step. If nothing is, tasks that differ only in
 * the numbers at the end of their display names belong together, as those that a workflow scatters.
 *
 * @param {string} parent
 * @param {Task} task
 * @returns {{key: string, resource: string, label: string}}
 */
export function groupOf(parent, task) {
  const rest = task.name.slice(parent.length + 1).split("/");
  const between = rest.slice(0, -2);
  if (between.length > 0) {
    const resource = `${parent}/${between.join("/")}`;
    return { key: resource, resource, label: between[between.length - 1] ?? "" };
  }
  const stem = task.displayName.replace(/([-_. ]|\s*[([])\d+(-\d+)*[)\]]?$/, "");
  return { key: `=${stem}`, resource: "", label: stem };
}

/**
 * Return the last part of a name, without the number behind its last hyphen, and this number. So do ids sort by number.
 *
 * @param {string} name
 * @returns {[string, number]}
 */
export function sortKey(name) {
  const id = name.slice(name.lastIndexOf("/") + 1);
  const digits = /\d+$/.exec(id)?.[0] ?? "";
  return digits.length > 15 ? [id, 0] : [id.slice(0, id.length - digits.length), Number(digits)];
}

/** The tasks of a store in order. Adding and removing is cheap; `refresh` sorts what has changed. */
export class TaskOrder {
  /** @type {Group[]} */
  groups = [];
  /** @type {string[]} all tasks */
  names = [];
  /** @type {Map<string, number>} */
  positions = new Map();

  #parent;
  /** @type {Map<string, {group: Group, key: [string, number], displayName: string}>} */
  #known = new Map();
  /** @type {Map<string, Group>} */
  #byKey = new Map();
  /** @type {Set<Group>} */
  #unsorted = new Set();
  #removed = false;

  /** @param {string} parent */
  constructor(parent) {
    this.#parent = parent;
  }

  /**
   * Take over which of these tasks exist.
   *
   * @param {Iterable<string>} names
   * @param {Map<string, Task>} tasks
   */
  update(names, tasks) {
    for (const name of names) {
      const task = tasks.get(name);
      if (task === undefined) {
        this.#removed = this.#known.delete(name) || this.#removed;
      } else if (!this.#known.has(name)) {
        this.#add(task);
      }
    }
  }

  /** Bring `groups`, `names` and `positions` up to date. Return whether they have changed. */
  refresh() {
    if (this.#unsorted.size === 0 && !this.#removed) {
      return false;
    }
    if (this.#removed) {
      for (const group of this.#byKey.values()) {
        group.names = group.names.filter((name) => this.#known.get(name)?.group === group);
        if (group.names.length === 0) {
          this.#byKey.delete(group.key);
        }
      }
      this.#removed = false;
    }
    for (const group of this.#unsorted) {
      group.names.sort((one, other) => this.#compare(one, other));
    }
    this.#unsorted.clear();
    this.groups = [...this.#byKey.values()].sort(compareGroups);
    this.names = [];
    this.positions = new Map();
    for (const group of this.groups) {
      group.start = this.names.length;
      for (const name of group.names) {
        this.positions.set(name, this.names.length);
        this.names.push(name);
      }
    }
    return true;
  }

  /**
   * Return the group of a task that exists.
   *
   * @param {string} name
   */
  groupOf(name) {
    return this.#known.get(name)?.group;
  }

  /** @param {Task} task */
  #add(task) {
    const { key, resource, label } = groupOf(this.#parent, task);
    let group = this.#byKey.get(key);
    if (group === undefined) {
      group = { key, resource, label, names: [], start: 0, createTime: Infinity };
      this.#byKey.set(key, group);
    }
    if (task.createTime < group.createTime) {
      group.createTime = task.createTime;
    }
    this.#known.set(task.name, { group, key: sortKey(task.name), displayName: task.displayName });
    group.names.push(task.name);
    this.#unsorted.add(group);
  }

  /**
   * @param {string} one
   * @param {string} other
   */
  #compare(one, other) {
    const known = this.#known.get(one);
    const otherKnown = this.#known.get(other);
    const byName = compareNames(known?.displayName ?? "", otherKnown?.displayName ?? "");
    if (byName !== 0) {
      return byName;
    }
    const [text, number] = known?.key ?? ["", 0];
    const [otherText, otherNumber] = otherKnown?.key ?? ["", 0];
    if (text !== otherText) {
      return text < otherText ? -1 : 1;
    }
    return number - otherNumber || (one < other ? -1 : 1);
  }
}

/**
 * @param {Group} one
 * @param {Group} other
 */
function compareGroups(one, other) {
  const difference = one.createTime - other.createTime;
  return difference || compareNames(one.key, other.key); // NaN if neither has a time
}
