/** What is selected, or matches the filter, and what can be done with it. */

import { ActionBar } from "./actions.js";
import { h, setText } from "./dom.js";
import * as format from "./quantities.js";
import { taskActions, tasksSubject } from "./task_actions.js";
import { filterWithStates } from "./task_filter.js";

/** @typedef {import("./parent_model.js").ParentModel} ParentModel */

/** A line above the views while tasks are selected, or while a filter applies whose matches can be acted on. */
export class SelectionView {
  element;
  #model;
  #onDone;
  #passFocus;
  #selected = h("strong", { class: "small numeric", role: "status" });
  /** Not announced: the filter does so, and the number changes with the states of tasks. */
  #matching = h("strong", { class: "small numeric" });
  #actions = h("div");
  #hasActions = false;
  #clear;

  /**
   * @param {ParentModel} model
   * @param {object} options
   * @param {AbortSignal} options.signal
   * @param {() => void} options.onDone called after an action
   * @param {() => void} options.passFocus moves the focus on, before the line that has it disappears
   */
  constructor(model, { signal, onDone, passFocus }) {
    this.#model = model;
    this.#onDone = onDone;
    this.#passFocus = passFocus;
    /** @type {(text: string, onclick: () => void) => HTMLElement} */
    const button = (text, onclick) => h("button", { type: "button", class: "plain", onclick }, text);
    this.#clear = button("Clear", () => model.clearSelection());
    this.element = h(
      "div",
      { class: "row selection", hidden: true },
      this.#selected,
      this.#matching,
      this.#actions,
      button("Select all that match", () => model.select(model.visibleNames())),
      this.#clear,
    );
    for (const type of ["selection", "filter", "order"]) {
      model.addEventListener(type, () => this.tick(), { signal });
    }
    this.tick();
  }

  /**
   * Offer the actions that the AWS service supports for single tasks.
   *
   * @param {string} title of the AWS service
   * @param {string[]} methods of TaskService that it supports
   */
  setService(title, methods) {
    const actions = taskActions(methods);
    this.#hasActions = actions.length > 0;
    this.#actions.replaceChildren(
      this.#hasActions
        ? new ActionBar(actions, () => this.#subject(), { label: "Actions", onDone: this.#onDone }).element
        : h("span", { class: "small quiet" }, `${title} cannot cancel, retry or suspend single tasks.`),
    );
    this.tick();
  }

  /** Update the number of matches, which changes with the states of tasks. */
  tick() {
    const { size } = this.#model.selected;
    const matches = size === 0 ? this.#matchCount() : 0;
    const isHidden = size === 0 && matches === 0;
    if (isHidden && this.element.contains(document.activeElement)) {
      this.#passFocus();
    }
    this.element.hidden = isHidden;
    this.#clear.hidden = size === 0;
    setText(this.#selected, size > 0 ? `${format.counted(size, "task")} selected` : "");
    const verb = matches === 1 ? "matches" : "match";
    setText(this.#matching, matches > 0 ? `${format.counted(matches, "task")} ${verb} the filter` : "");
  }

  /** Return how many tasks match a filter, once all of them are known; 0 without a filter. */
  #matchCount() {
    const { isFiltered, hasAllMatches, store } = this.#model;
    const isKnown = isFiltered && hasAllMatches && store.ready;
    return isKnown && this.#hasActions ? this.#model.visibleNames().length : 0;
  }

  #subject() {
    const { selected, states, filter, parent } = this.#model;
    if (selected.size > 0) {
      return tasksSubject(selected);
    }
    return tasksSubject(this.#model.visibleNames(), { parent, filter: filterWithStates(states, filter) });
  }
}
