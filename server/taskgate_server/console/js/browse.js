/**
 * The contents of AWS's containers, by AWS's own list operations: farms, their queues, their jobs;
 * runs. The table below describes them; nothing else knows them apart.
 */

import { unary } from "./connect.js";
import { fill, h } from "./dom.js";
import { errorNotice } from "./errors.js";
import { hrefOf } from "./find.js";
import { time } from "./format.js";
import { parseName } from "./names.js";
import { nativeLabel } from "./states.js";

/** @typedef {import("./dom.js").Child} Child */
/** @typedef {Record<string, any>} Item */
/** @typedef {{title: string, cell: (item: Item) => Child, number?: boolean}} Column */

/**
 * What a container contains, and how to list it.
 *
 * `page` is the parameter for the next page, and `next` the member of the response that has its
 * value; `label` is the column with the link.
 *
 * @typedef {{
 *   items: string, operation: string, request: (ids: string[]) => object, list: string,
 *   page: string, next: string, name: (item: Item, container: string) => string,
 *   label: (item: Item) => string, columns: Column[],
 * }} Level
 */

/** @type {Column} */
const CREATED = { title: "Created", cell: (item) => time(item["createdAt"] ?? item["creationTime"]) };
/** @type {Column} */
const BY = { title: "Created by", cell: (item) => person(item["createdBy"]) };

/**
 * By the kind of the container; of a service, by its name.
 *
 * @type {Record<string, Level>}
 */
const LEVELS = {
  deadline: {
    items: "Farms",
    operation: "ListFarms",
    request: () => ({ maxResults: 100 }),
    list: "farms",
    page: "nextToken",
    next: "nextToken",
    name: (item) => `deadline/farms/${item["farmId"]}`,
    label: (item) => item["displayName"] || item["farmId"],
    columns: [idColumn("farmId"), CREATED],
  },
  farm: {
    items: "Queues",
    operation: "ListQueues",
    request: ([farmId]) => ({ farmId, maxResults: 100 }),
    list: "queues",
    page: "nextToken",
    next: "nextToken",
    name: (item, container) => `${container}/queues/${item["queueId"]}`,
    label: (item) => item["displayName"] || item["queueId"],
    columns: [
      { title: "Status", cell: (item) => word(item["status"], "QUEUE_STATUS_") },
      idColumn("queueId"),
      CREATED,
    ],
  },
  queue: {
    items: "Jobs",
    // Unlike ListJobs it sorts: the latest job first.
    operation: "SearchJobs",
    request: ([farmId, queueId]) => ({
      farmId,
      queueIds: [queueId],
      itemOffset: 0,
      pageSize: 50,
      sortExpressions: [
        { fieldSort: { name: "CREATED_AT", sortOrder: "SORT_ORDER_DESCENDING" } },
      ],
    }),
    list: "jobs",
    page: "itemOffset",
    next: "nextItemOffset",
    name: (item, container) => `${container}/jobs/${item["jobId"]}`,
    label: (item) => item["name"] || item["jobId"],
    columns: [
      { title: "State", cell: (item) => nativeLabel(word(item["taskRunStatus"], "TASK_RUN_STATUS_")) },
      { title: "Tasks", cell: (item) => total(item["taskRunStatusCounts"]), number: true },
      { title: "Priority", cell: (item) => item["priority"], number: true },
      CREATED,
      BY,
    ],
  },
  omics: {
    items: "Runs",
    operation: "ListRuns",
    request: () => ({ maxResults: 50 }),
    list: "items",
    page: "startingToken",
    next: "nextToken",
    name: (item) => `omics/runs/${item["id"]}`,
    label: (item) => item["name"] || item["id"],
    columns: [
      { title: "State", cell: (item) => nativeLabel(word(item["status"], "RUN_STATUS_")) },
      idColumn("id"),
      { title: "Workflow", cell: (item) => item["workflowName"] || item["workflowId"] },
      CREATED,
    ],
  },
};

/**
 * Return the level within a container; null if the console cannot list it.
 *
 * @param {string} container the name of an AWS service, a farm or a queue
 * @returns {Level | null}
 */
export function levelOf(container) {
  return LEVELS[parseName(container)?.kind ?? container] ?? null;
}

/**
 * Show what a container contains, page by page.
 *
 * @param {HTMLElement} root
 * @param {string} container see `levelOf`
 * @param {string} grpcService with AWS's operations
 * @param {AbortSignal} signal
 */
export function browse(root, container, grpcService, signal) {
  const level = levelOf(container);
  if (!level) return;
  const body = h("tbody");
  const foot = h("div", { class: "row" });
  const table = h(
    "div",
    { class: "scroll", tabindex: "0", role: "region", "aria-label": level.items, hidden: true },
    h(
      "table",
      { class: "data" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "Name"),
          level.columns.map(({ title, number }) =>
            h("th", { scope: "col", class: number ? "number" : null }, title),
          ),
        ),
      ),
      body,
    ),
  );
  fill(root, table, foot);

  /** @param {string | number | undefined} next */
  const load = async (next) => {
    fill(foot, h("p", { class: "loading", role: "status" }, `Loading ${level.items.toLowerCase()}`));
    const request = level.request(parseName(container)?.ids ?? []);
    try {
      const response = await unary(
        `${grpcService}/${level.operation}`,
        next === undefined ? request : { ...request, [level.page]: next },
        { signal },
      );
      const items = /** @type {Item[]} */ (response[level.list] ?? []);
      body.append(...items.map((item) => row(level, item, container)));
      table.hidden = !body.childElementCount;
      const more = response[level.next];
      fill(
        foot,
        !body.childElementCount &&
          h("p", { class: "quiet small" }, `There are no ${level.items.toLowerCase()} here.`),
        more && h("button", { type: "button", onclick: () => load(more) }, "Show more"),
      );
    } catch (error) {
      if (signal.aborted) return;
      const title = `${level.items} cannot be listed`;
      fill(foot, errorNotice(error, { title, onRetry: () => load(next) }));
    }
  };
  load(undefined);
}

/**
 * @param {Level} level
 * @param {Item} item
 * @param {string} container
 */
function row(level, item, container) {
  const name = level.name(item, container);
  const kind = parseName(name)?.kind ?? "";
  return h(
    "tr",
    null,
    h("th", { scope: "row" }, h("a", { href: hrefOf({ kind, name }) }, level.label(item))),
    level.columns.map(({ cell, number }) => h("td", { class: number ? "number" : null }, cell(item))),
  );
}

/**
 * @param {string} member
 * @returns {Column}
 */
function idColumn(member) {
  return { title: "Id", cell: (item) => h("span", { class: "mono quiet" }, item[member]) };
}

/**
 * Return AWS's own word for an enum value.
 *
 * @param {unknown} value
 * @param {string} prefix that the contract adds
 */
function word(value, prefix) {
  return String(value ?? "").replace(prefix, "");
}

/**
 * Return the last part of an ARN, such as the name of a session.
 *
 * @param {string | undefined} arn
 */
function person(arn) {
  return arn ? h("span", { title: arn }, arn.split("/").at(-1)) : null;
}

/** @param {Record<string, number> | undefined} counts */
function total(counts) {
  return Object.values(counts ?? {}).reduce((sum, each) => sum + each, 0);
}
