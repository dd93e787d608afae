/** Keyboard and mouse in a list of tasks: focus, selection, opening. */

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */

/**
 * Return the row to which a key moves, or -1 if the key does not move.
 *
 * @param {string} key a value of KeyboardEvent.key
 * @param {number} index of the row with the focus; -1 if there is none
 * @param {number} count
 * @param {number} pageSize
 */
export function moveRow(key, index, count, pageSize) {
  if (count === 0) {
    return -1;
  }
  /** @type {Record<string, number>} */
  const targets = {
    ArrowDown: index + 1,
    ArrowUp: index - 1,
    PageDown: index + pageSize,
    PageUp: index - pageSize,
    Home: 0,
    End: count - 1,
  };
  const target = targets[key];
  return target === undefined ? -1 : Math.max(0, Math.min(target, count - 1));
}

/** The rows of a list that take part in focus and selection. */
export class ListKeys {
  #anchor = "";

  /**
   * @param {ParentModel} model
   * @param {object} list
   * @param {() => string[]} list.names in the order of the rows
   * @param {() => number} list.pageSize
   * @param {(index: number) => void} list.reveal
   * @param {(name: string) => void} list.open
   */
  constructor(model, list) {
    this.model = model;
    this.list = list;
  }

  /**
   * Handle a key; Return whether it has a meaning here.
   *
   * @param {KeyboardEvent} event
   */
  handle(event) {
    const names = this.list.names();
    const { focused } = this.model;
    const index = names.indexOf(focused);
    const target = event.altKey ? -1 : moveRow(event.key, index, names.length, this.list.pageSize());
    if (target >= 0) {
      this.#moveTo(target, event.shiftKey);
    } else if (event.key === "a" && (event.ctrlKey || event.metaKey)) {
      this.model.select(names);
    } else if (event.key === "Escape" && this.model.selected.size > 0) {
      this.model.clearSelection();
    } else if (index >= 0 && event.key === "Enter") {
      this.list.open(focused);
    } else if (index >= 0 && event.key === " ") {
      this.model.toggle(focused);
      this.#anchor = focused;
    } else {
      return false;
    }
    event.preventDefault();
    return true;
  }

  /**
   * Handle a click on a row: with Ctrl it selects, with Shift it selects a range.
   *
   * @param {MouseEvent} event
   * @param {string} name
   */
  click(event, name) {
    if (event.shiftKey) {
      this.#selectRange(name);
    } else if (event.ctrlKey || event.metaKey) {
      this.model.toggle(name);
      this.#anchor = name;
    }
    this.model.setFocus(name);
  }

  /**
   * @param {number} index
   * @param {boolean} extend
   */
  #moveTo(index, extend) {
    const name = this.list.names()[index] ?? "";
    if (extend) {
      this.#anchor ||= this.model.focused;
      this.#selectRange(name);
    } else {
      this.#anchor = "";
    }
    this.model.setFocus(name);
    this.list.reveal(index);
  }

  /** @param {string} name */
  #selectRange(name) {
    const names = this.list.names();
    const to = names.indexOf(name);
    const anchor = names.indexOf(this.#anchor || this.model.focused);
    const from = anchor < 0 ? to : anchor;
    this.model.select(names.slice(Math.min(from, to), Math.max(from, to) + 1));
  }
}
