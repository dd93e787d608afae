/** The page of a parent (a job, a step or a run): all of its tasks, live. */

import { ActionBar } from "../actions.js";
import { ConnectionView } from "../connection_view.js";
import { crumbs } from "../crumbs.js";
import { h, setText } from "../dom.js";
import { FilterView } from "../filter_view.js";
import { FrameLoop } from "../frame_loop.js";
import { Freshness } from "../freshness.js";
import { TaskGrid } from "../grid.js";
import { readQuery, writeQuery } from "../page_query.js";
import { parentActions, parentSubject } from "../parent_actions.js";
import { ParentModel } from "../parent_model.js";
import { ParentStatusReader } from "../parent_status.js";
import { parseName } from "../names.js";
import { ENDED } from "../progress.js";
import * as format from "../quantities.js";
import { href, replaceQuery, setTitle } from "../router.js";
import { SelectionView } from "../selection_view.js";
import { serverInfo } from "../server_info.js";
import { session } from "../session.js";
import { TaskStore } from "../store.js";
import { SummaryView } from "../summary_view.js";
import { TaskTable } from "../table.js";
import { Timeline } from "../timeline.js";
import { ViewTabs } from "../view_tabs.js";
import { WatchPause } from "../watch_pause.js";
import { WatchSession, watch } from "../watch.js";

/** Between two updates of what changes with time alone. */
const TICK_MS = 1_000;
/** Browsers refuse more than about 100 changes of the address in 30 s. */
const ADDRESS_DELAY_MS = 400;

/** @type {import("../router.js").Page} */
export function page(root, { name, query }, { signal }) {
  new ParentPage(root, name, query, signal).start();
}

/** The parts of the page, and what connects them. */
class ParentPage {
  #signal;
  #target = session.target || undefined;
  #loop = new FrameLoop();
  #store = new TaskStore({ schedule: (callback) => this.#loop.before(callback) });
  #freshness = new Freshness(() => Date.now());
  #query;
  #model;
  #connection;
  #summary;
  #filter;
  #tabs;
  #status;
  #title;
  #session;
  #selection;
  /** Of the parent as a whole. */
  #actions = h("div", { class: "parent-actions" });
  /** @type {ActionBar | undefined} */
  #actionBar;
  #watching = new AbortController();
  /** @type {ReturnType<typeof setTimeout> | undefined} */
  #addressTimer;

  /**
   * @param {HTMLElement} root
   * @param {string} parent
   * @param {URLSearchParams} query
   * @param {AbortSignal} signal
   */
  constructor(root, parent, query, signal) {
    this.#signal = signal;
    this.#query = readQuery(parent, query);
    const model = new ParentModel(parent, this.#store, this.#freshness);
    this.#model = model;
    this.#session = new WatchSession(parent, this.#store, this.#freshness);
    model.states = this.#query.states;
    model.focused = this.#query.focused;
    model.selected = new Set(this.#query.selected);

    const loop = this.#loop;
    const target = this.#target;
    this.#connection = new ConnectionView(this.#freshness, this.#store, {
      onRestart: () => void this.#watch(),
    });
    this.#status = new ParentStatusReader(model, { signal, target });
    this.#summary = new SummaryView(model, { loop, signal, actions: this.#actions });
    this.#selection = new SelectionView(model, {
      signal,
      onDone: () => this.#status.request(),
      passFocus: () => this.#tabs.focus(),
    });
    this.#filter = new FilterView(model, { signal, target, onChange: () => this.#addressChanged() });
    this.#tabs = new ViewTabs(this.#views(), {
      shown: this.#query.view,
      onShow: (view) => {
        this.#query.view = view;
        this.#addressChanged();
      },
    });
    this.#title = h("h1", null, "");
    this.#buildPage(root);
  }

  start() {
    const timer = setInterval(() => this.#tick(), TICK_MS);
    this.#signal.addEventListener("abort", () => {
      clearInterval(timer);
      clearTimeout(this.#addressTimer);
    });
    for (const type of ["filter", "selection", "focus"]) {
      this.#model.addEventListener(type, () => this.#addressChanged(), { signal: this.#signal });
    }
    addEventListener("online", () => this.#connection.retryNow(), { signal: this.#signal });
    if (this.#query.filter) {
      void this.#filter.apply(this.#query.filter);
    }
    const pause = new WatchPause({
      onPause: () => this.#pauseWatch(),
      onResume: () => void this.#watch(),
    });
    pause.start(document, this.#signal);
    void this.#showActions();
    this.#tick();
  }

  #views() {
    const options = {
      loop: this.#loop,
      signal: this.#signal,
      open: (/** @type {string} */ name) => {
        this.#writeAddress(); // so that going back returns to this place
        location.hash = href("task", name);
      },
    };
    return {
      grid: new TaskGrid(this.#model, options),
      timeline: new Timeline(this.#model, options),
      table: new TaskTable(this.#model, {
        ...options,
        sort: this.#query.sort,
        onSort: (sort) => {
          this.#query.sort = sort;
          this.#addressChanged();
        },
      }),
    };
  }

  /** @param {HTMLElement} root */
  #buildPage(root) {
    root.replaceChildren(
      crumbs(this.#model.parent),
      h("header", { class: "page-header" }, this.#title, this.#connection.badge),
      this.#connection.notices,
      this.#summary.element,
      h(
        "section",
        { class: "panel", "aria-label": "Tasks" },
        h("div", { class: "row spread" }, this.#tabs.list, this.#filter.element),
        this.#selection.element,
        ...this.#tabs.panels,
      ),
    );
  }

  /** Offer the actions that the AWS service supports, for tasks and for the parent as a whole. */
  async #showActions() {
    const { parent } = this.#model;
    try {
      const { awsServices = [] } = await serverInfo();
      const service = awsServices.find(({ name }) => name === parent.split("/")[0]);
      if (service === undefined || this.#signal.aborted) {
        return;
      }
      this.#selection.setService(service.title, service.taskMethods ?? []);
      const kind = parseName(parent)?.kind ?? "";
      this.#actionBar = new ActionBar(parentActions(parent), () => parentSubject(parent, service.grpcService), {
        label: `Whole ${kind}`,
        noun: kind,
        unavailable: ({ verb }) => (verb !== "retry" && this.#hasEnded() ? `The ${kind} has ended` : ""),
        onDone: () => this.#status.request(),
      });
      this.#actions.replaceChildren(this.#actionBar.element);
    } catch {
      // The watch shows why the server cannot be reached, and tries this again when it is live.
    }
  }

  /** Return whether the parent has ended, with all of its tasks. A job that has failed may have suspended tasks. */
  #hasEnded() {
    const { parent, counts } = this.#store;
    return parent?.parentStatus?.ended === true && [...counts.keys()].every((state) => ENDED.has(state));
  }

  #pauseWatch() {
    this.#watching.abort();
    this.#connection.setStatus({ state: "paused", since: Date.now() });
  }

  async #watch() {
    this.#watching.abort();
    this.#watching = new AbortController();
    await watch(this.#model.parent, this.#store, {
      session: this.#session,
      signal: AbortSignal.any([this.#signal, this.#watching.signal]),
      freshness: this.#freshness,
      target: this.#target,
      onStatus: (status) => {
        this.#connection.setStatus(status);
        if (status.state === "live") {
          this.#readAgain();
        }
      },
      onWaiting: (wake) => this.#connection.setWake(wake),
    });
  }

  /** Read what could not be read before the server was reached. */
  #readAgain() {
    if (!this.#actionBar) {
      void this.#showActions();
    }
    if (this.#status.error !== null) {
      this.#status.request();
    }
  }

  /** Everything that changes with time, without a change of tasks. */
  #tick() {
    this.#connection.tick();
    this.#summary.tick();
    this.#summary.setStatusError(this.#status.error);
    this.#tabs.tick();
    this.#selection.tick();
    this.#actionBar?.update();
    if (!document.hidden) {
      this.#status.tick();
    }
    const title = this.#store.parent?.displayName || this.#model.parent.split("/").at(-1) || "";
    setText(this.#title, title);
    const { percent } = this.#summary;
    setTitle(Number.isNaN(percent) ? title : `${format.number(percent)} % · ${title}`);
  }

  #addressChanged() {
    this.#addressTimer ??= setTimeout(() => this.#writeAddress(), ADDRESS_DELAY_MS);
  }

  #writeAddress() {
    clearTimeout(this.#addressTimer);
    this.#addressTimer = undefined;
    if (this.#signal.aborted) {
      return;
    }
    const { parent, states, focused, selected } = this.#model;
    const { view, sort } = this.#query;
    const { filter } = this.#filter;
    replaceQuery(writeQuery(parent, { view, sort, filter, states, focused, selected }));
  }
}
