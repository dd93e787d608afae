/**
 * The page of one task: its state and why, live; attempts, log, parameters and AWS's own message.
 */

import { ActionBar } from "../actions.js";
import { announce } from "../announce.js";
import { readAttempts } from "../attempts.js";
import { crumbs } from "../crumbs.js";
import { fill, h, refresh } from "../dom.js";
import { errorNotice } from "../errors.js";
import { timeOfDay } from "../format.js";
import { logView } from "../log_view.js";
import { parseName, shortId } from "../names.js";
import { setTitle } from "../router.js";
import { Reveal } from "../sensitive.js";
import { serverInfo } from "../server_info.js";
import { stateInfo } from "../states.js";
import { taskActions, tasksSubject } from "../task_actions.js";
import {
  attemptsPart,
  commandsPart,
  factsPart,
  nativePart,
  parametersPart,
  runTime,
  statePart,
} from "../task_panels.js";
import { watchTask } from "../task_watch.js";

/** @typedef {import("../task_watch.js").Task} Task */
/** @typedef {import("../server_info.js").AwsService} AwsService */

const TICK_MS = 1000;
/** A task that has not been checked for this time may have changed. */
const STALE_SECONDS = 30;

/** @type {import("../router.js").Page} */
export function page(root, { name }, { signal }) {
  new TaskPage(root, name, signal).start();
}

/** The parts of the page, and what they show. */
class TaskPage {
  /** @type {Task | null} */
  #task = null;
  /** Milliseconds since 1970, by this machine's clock. */
  #checkedAt = Date.now();
  #attemptsKey = "";
  #reveal = new Reveal();

  #title = h("h1");
  #live = h("p", { class: "small quiet live", role: "status" });
  #state = h("div", { class: "stack" });
  #runTime = h("span", { class: "quiet numeric" });
  #notices = h("div", { class: "stack" });
  #actions = h("div");
  #facts = h("div");
  #attempts = h("div");
  #parameters = h("div");
  #parametersPanel = panel("Parameters", "parameters", this.#parameters, this.#reveal.button());
  #native = h("div");

  /**
   * @param {HTMLElement} root
   * @param {string} name of the task
   * @param {AbortSignal} signal ends the page
   */
  constructor(root, name, signal) {
    this.root = root;
    this.name = name;
    this.signal = signal;
    this.log = logView(name, signal);
    this.attemptsPanel = panel("Attempts", "attempts", this.#attempts);
  }

  async start() {
    const parsed = parseName(this.name);
    setTitle(this.#taskTitle());
    this.#title.textContent = this.#taskTitle();
    fill(this.root, crumbs(this.name), this.#notices, h("p", { class: "loading", role: "status" }, "Loading the task"));
    if (parsed?.kind !== "task") {
      const error = new Error(`"${this.name}" is not the name of a task. Check the address.`);
      fill(this.root, errorNotice(error, { title: "There is no such page" }));
      return;
    }
    this.#reveal.addEventListener("change", () => this.#showTask());
    const timer = setInterval(() => this.#tick(), TICK_MS);
    this.signal.addEventListener("abort", () => clearInterval(timer));
    this.#showActions();
    try {
      await watchTask(this.name, {
        signal: this.signal,
        onTask: (task) => this.#onTask(task),
        onGone: () => this.#showGone(),
        onStatus: ({ state, error }) => this.#onStatus(state, error),
        onChecked: (secondsAgo) => {
          this.#checkedAt = Date.now() - secondsAgo * 1000;
        },
      });
    } catch (error) {
      if (this.signal.aborted) return;
      this.#live.textContent = "";
      const title = this.#task ? "The task is no longer updated" : "The task cannot be read";
      const notice = errorNotice(error, { title, onRetry: () => dispatchEvent(new Event("hashchange")) });
      if (this.#task) fill(this.#notices, notice);
      else fill(this.root, crumbs(this.name), h("h1", null, this.#taskTitle()), notice);
    }
  }

  /** @param {Task} task */
  #onTask(task) {
    const before = this.#task;
    this.#task = task;
    this.#checkedAt = Date.now();
    if (!before) this.#layOut();
    else if (before.state !== task.state) announce(`The task is now ${stateInfo(task.state).label}`);
    this.#showTask();
    this.#showAttempts(task);
  }

  #layOut() {
    fill(
      this.root,
      crumbs(this.name),
      this.#notices,
      h(
        "section",
        { class: "panel", "aria-label": "State" },
        h("div", { class: "page-header" }, this.#title, this.#live),
        this.#state,
        this.#actions,
      ),
      h(
        "div",
        { class: "task-columns" },
        h("div", { class: "stack" }, this.log.element, this.attemptsPanel, nativePanel(this.#native)),
        h(
          "div",
          { class: "stack" },
          this.#parametersPanel,
          panel("Details", "details", this.#facts),
          panel("Commands", "commands", commandsPart(this.name)),
        ),
      ),
    );
    this.log.show(undefined);
  }

  #showTask() {
    const task = this.#task;
    if (!task) return;
    const title = this.#taskTitle();
    this.#title.textContent = title;
    setTitle(`${stateInfo(task.state).label}: ${title}`);
    const { isShown } = this.#reveal;
    const { observeTime, ...facts } = task; // which changes with every poll
    refresh(this.#state, facts, () => statePart(task, this.#runTime));
    refresh(this.#facts, facts, () => factsPart(task));
    this.#parametersPanel.hidden = Object.keys(task.parameters ?? {}).length === 0;
    refresh(this.#parameters, [facts, isShown], () => parametersPart(task, this.#reveal));
    refresh(this.#native, [facts, isShown], () => nativePart(task, this.#reveal));
    this.#live.title = `AWS's response is from ${observeTime ?? "an unknown time"}`;
    this.#tick();
  }

  /** Show what changes with the time. */
  #tick() {
    if (!this.#task) return;
    this.#runTime.textContent = runTime(this.#task, Date.now());
    const seconds = (Date.now() - this.#checkedAt) / 1000;
    this.#live.toggleAttribute("data-stale", seconds > STALE_SECONDS);
    if (this.#live.dataset["state"] !== "live") return;
    // Screen readers announce each change of this text, so it does not count the seconds.
    const text = seconds > STALE_SECONDS ? `Not checked since ${timeOfDay(this.#checkedAt)}` : "Live";
    if (this.#live.textContent !== text) this.#live.textContent = text;
  }

  /**
   * @param {string} state of the stream
   * @param {unknown} error
   */
  #onStatus(state, error) {
    if (this.#live.dataset["state"] === state) return;
    this.#live.dataset["state"] = state;
    if (state === "live") {
      this.#live.textContent = "Live";
      fill(this.#notices);
      if (!this.#actions.hasChildNodes()) this.#showActions();
    } else if (state === "paused") {
      this.#live.textContent = "Paused while this tab is hidden";
    } else {
      this.#live.textContent = "Reconnecting";
      const title = "The connection is interrupted; the page reconnects by itself";
      fill(this.#notices, errorNotice(error, { title }));
    }
  }

  #showGone() {
    this.#live.dataset["state"] = "gone";
    this.#live.textContent = "";
    fill(
      this.#notices,
      h(
        "div",
        { class: "notice", "data-kind": "warning", role: "alert" },
        h("strong", null, "AWS no longer has this task"),
        h("p", null, "The page shows its last known state."),
      ),
    );
  }

  async #showActions() {
    try {
      const service = await this.#service();
      if (this.signal.aborted || !service) return;
      const actions = taskActions(service.taskMethods ?? []);
      fill(
        this.#actions,
        actions.length > 0
          ? new ActionBar(actions, () => tasksSubject([this.name]), { label: "Actions" }).element
          : h(
              "p",
              { class: "small quiet" },
              `${service.title} cannot cancel, retry or suspend a single task.`,
            ),
      );
    } catch {
      // The task itself shows the error, and tries this again when it is live.
    }
  }

  /** @param {Task} task */
  async #showAttempts(task) {
    const key = `${task.nativeState} ${task.retryCount ?? 0}`;
    if (key === this.#attemptsKey) return;
    this.#attemptsKey = key;
    try {
      const service = await this.#service();
      const attempts = await readAttempts(task, service?.grpcService ?? "", this.signal);
      if (this.signal.aborted) return;
      this.attemptsPanel.hidden = attempts.length === 0;
      fill(this.#attempts, attemptsPart(attempts, (each) => this.#showLog(each)));
    } catch (error) {
      if (this.signal.aborted) return;
      this.#attemptsKey = "";
      fill(this.#attempts, errorNotice(error, { title: "The attempts cannot be listed" }));
    }
  }

  /** @param {number} attempt */
  #showLog(attempt) {
    this.log.show(attempt);
    this.log.element.scrollIntoView({ block: "nearest" });
    announce(`The log of attempt ${attempt}`);
  }

  /** @returns {Promise<AwsService | undefined>} the AWS service of the task */
  async #service() {
    const service = this.name.split("/")[0];
    return (await serverInfo()).awsServices?.find((each) => each.name === service);
  }

  #taskTitle() {
    if (this.#task?.displayName) return this.#task.displayName;
    const id = this.name.split("/").at(-1) ?? "";
    return id.startsWith("task") ? shortId(id) : `Task ${shortId(id)}`;
  }
}

/**
 * @param {string} title
 * @param {string} id
 * @param {HTMLElement} content
 * @param {HTMLElement} [control]
 */
function panel(title, id, content, control) {
  return h(
    "section",
    { class: "panel", "aria-labelledby": id },
    h("header", null, h("h2", { id }, title), control),
    content,
  );
}

/** @param {HTMLElement} content */
function nativePanel(content) {
  return h(
    "section",
    { class: "panel", "aria-labelledby": "native" },
    h(
      "details",
      null,
      h("summary", null, h("h2", { id: "native" }, "AWS's response")),
      content,
    ),
  );
}
