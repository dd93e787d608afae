/**
 * Tasks as the console keeps them: the fields of the contract's Task that a list shows, with times as numbers.
 *
 * `native` is left out. A page with 10,000 tasks would keep AWS's response for each of them.
 */

import { stateInfo } from "./states.js";

/**
 * @typedef {object} Task
 * @property {string} name
 * @property {string} state a value of TaskState
 * @property {string} nativeState
 * @property {string} displayName
 * @property {number} createTime milliseconds since 1970; NaN if AWS does not report the time
 * @property {number} startTime
 * @property {number} endTime
 * @property {number} updateTime
 * @property {number} observeTime
 * @property {number} retryCount NaN if AWS does not report it
 * @property {string} targetState empty if no change is pending
 * @property {string} message AWS's message or failure reason
 * @property {string} instance instance type or size; empty if AWS does not report it
 */

/**
 * Return a task in proto3 JSON as a record. All records have the same properties in the same order, which keeps
 * access to 10,000 of them fast.
 *
 * @param {any} json a taskgate.v1.Task
 * @returns {Task}
 */
export function toTask(json) {
  return {
    name: String(json.name ?? ""),
    state: toState(json.state),
    nativeState: json.nativeState ?? "",
    displayName: json.displayName ?? "",
    createTime: toTime(json.createTime),
    startTime: toTime(json.startTime),
    endTime: toTime(json.endTime),
    updateTime: toTime(json.updateTime),
    observeTime: toTime(json.observeTime),
    retryCount: json.retryCount === undefined ? NaN : Number(json.retryCount),
    targetState: json.targetState === undefined ? "" : toState(json.targetState),
    message: json.failureReason || json.statusMessage || "",
    instance: toInstance(json.resources),
  };
}

/**
 * Return whether two records of a task look the same. The time of observation does not count.
 *
 * @param {Task} one
 * @param {Task} other
 */
export function looksSame(one, other) {
  return (
    one.state === other.state &&
    one.nativeState === other.nativeState &&
    Object.is(one.startTime, other.startTime) &&
    Object.is(one.endTime, other.endTime) &&
    Object.is(one.updateTime, other.updateTime) &&
    Object.is(one.createTime, other.createTime) &&
    Object.is(one.retryCount, other.retryCount) &&
    one.targetState === other.targetState &&
    one.message === other.message &&
    one.instance === other.instance &&
    one.displayName === other.displayName
  );
}

/**
 * Return a value of TaskState. A newer server may have others: as numbers or as names.
 *
 * @param {unknown} value
 */
function toState(value) {
  return stateInfo(typeof value === "string" ? value : undefined).state;
}

/**
 * Return a google.protobuf.Timestamp as milliseconds since 1970; NaN if it is absent.
 *
 * @param {unknown} value
 */
export function toTime(value) {
  return typeof value === "string" ? Date.parse(value) : NaN;
}

/**
 * Return a google.protobuf.Duration, such as "1.5s", in milliseconds; NaN if it is absent.
 *
 * @param {unknown} value
 */
export function toMilliseconds(value) {
  return typeof value === "string" ? Number.parseFloat(value) * 1000 : NaN;
}

/**
 * @param {any} resources a taskgate.v1.TaskResources
 * @returns {string}
 */
function toInstance(resources) {
  if (!resources) {
    return "";
  }
  if (resources.instanceType) {
    return resources.instanceType;
  }
  const sizes = [
    resources.cpus === undefined ? "" : `${resources.cpus} vCPU`,
    resources.memoryGib === undefined ? "" : `${resources.memoryGib} GiB`,
    resources.gpus ? `${resources.gpus} GPU` : "",
  ];
  return sizes.filter(Boolean).join(", ");
}
