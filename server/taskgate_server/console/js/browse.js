/**
 * The contents of AWS's containers, by AWS's own list operations: farms, their queues, their jobs;
 * runs. The table below describes them; nothing else knows them apart.
 */

import { h } from "./dom.js";
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
 * value; `label` is the column with the link. With `sortsByName` the list is in the order of names,
 * otherwise in that of AWS.
 *
 * @typedef {{
 *   items: string, operation: string, request: (ids: string[]) => object, list: string,
 *   page: string, next: string, name: (item: Item, container: string) => string,
 *   label: (item: Item) => string, columns: Column[], sortsByName?: boolean,
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
    sortsByName: true,
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
    sortsByName: true,
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
