/**
 * Texts of times, durations and numbers.
 */

import { h } from "./dom.js";
import * as quantities from "./quantities.js";

const DATE_TIME = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const TIME = new Intl.DateTimeFormat(undefined, {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
  hourCycle: "h23",
});
const NUMBER = new Intl.NumberFormat(undefined, { maximumFractionDigits: 1 });

/**
 * Return a number with at most one digit after the point.
 *
 * @param {number} value
 */
export function number(value) {
  return NUMBER.format(value);
}

/**
 * Return a duration with its two largest units, such as "1 h 4 min"; empty for NaN.
 *
 * @param {number} seconds
 */
export function duration(seconds) {
  return quantities.duration(seconds * 1000);
}

/**
 * Return a time as an element: the local time, with the exact one in UTC as its title.
 *
 * @param {string | undefined} timestamp of proto3 JSON
 * @returns {HTMLElement | null} null if there is none
 */
export function time(timestamp) {
  const at = milliseconds(timestamp);
  if (at === null) return null;
  const iso = new Date(at).toISOString();
  return h("time", { datetime: iso, title: timestamp, class: "numeric" }, DATE_TIME.format(at));
}

/**
 * Return the time of day of a timestamp; empty if there is none.
 *
 * @param {string | number | undefined} timestamp of proto3 JSON, or milliseconds since 1970
 */
export function timeOfDay(timestamp) {
  const at = typeof timestamp === "number" ? timestamp : milliseconds(timestamp);
  return at === null ? "" : TIME.format(at);
}

/**
 * Return the seconds between two timestamps, the second one being now if it is absent; NaN without
 * the first one.
 *
 * @param {string | undefined} start
 * @param {string | undefined} end
 * @param {number} now in milliseconds
 */
export function secondsBetween(start, end, now) {
  const from = milliseconds(start);
  return from === null ? Number.NaN : ((milliseconds(end) ?? now) - from) / 1000;
}

/**
 * Return a timestamp in milliseconds since 1970; null if it is absent or not one.
 *
 * @param {string | undefined} timestamp
 */
export function milliseconds(timestamp) {
  if (!timestamp) return null;
  const at = Date.parse(timestamp);
  return Number.isNaN(at) ? null : at;
}
