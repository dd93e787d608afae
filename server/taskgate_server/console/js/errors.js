/**
 * Errors, as the console shows them: the server's message, what to do, and the id to search for.
 */

import { ApiError } from "./connect.js";
import { detailOf } from "./details.js";
import { h } from "./dom.js";
import { askForToken } from "./sign_in.js";

/**
 * What to do about an error, where the server's message does not say so itself.
 *
 * @type {Record<string, string>}
 */
const REMEDIES = {
  canceled: "Try again.",
  deadline_exceeded: "AWS or the server was too slow. Try again in a moment.",
  not_found: "Check the name, and that the right target is selected.",
  permission_denied: "Ask the operator of this server for permission.",
  resource_exhausted: "Wait, then try again.",
  unauthenticated: "Enter a token, or sign in again at the proxy in front of the server.",
  unavailable: "Try again in a moment.",
  internal: "If this happens again, report it with the request id.",
  unknown: "If this happens again, report it with the request id.",
};

/**
 * Return a notice of an error.
 *
 * @param {unknown} error
 * @param {{title?: string, onRetry?: () => void}} [options] `title` says what failed; `onRetry`
 *   adds a button
 * @returns {HTMLElement}
 */
export function errorNotice(error, { title = "", onRetry } = {}) {
  const facts = describeError(error);
  const needsToken = error instanceof ApiError && error.code === "unauthenticated";
  return h(
    "div",
    { class: "notice", "data-kind": "error", role: "alert" },
    h("strong", null, title || facts.title),
    h("p", { class: "pre" }, facts.message),
    facts.violations.length > 0 &&
      h("ul", { class: "small" }, facts.violations.map((each) => h("li", null, each))),
    facts.remedy && h("p", { class: "small" }, facts.remedy),
    (needsToken || onRetry) &&
      h(
        "div",
        { class: "row" },
        needsToken && h("button", { type: "button", onclick: () => askForToken() }, "Enter a token"),
        onRetry && h("button", { type: "button", onclick: () => onRetry() }, "Try again"),
      ),
    facts.reference && h("p", { class: "small quiet" }, facts.reference),
  );
}

/**
 * Return the texts of an error.
 *
 * @param {unknown} error
 * @returns {{title: string, message: string, violations: string[], remedy: string, reference: string}}
 */
export function describeError(error) {
  if (!(error instanceof ApiError)) {
    const message = error instanceof Error ? error.message : String(error);
    const remedy = isUnexpected(error) ? "Reload the page. If this happens again, report it." : "";
    return { title: "This page has failed", message, violations: [], remedy, reference: "" };
  }
  const wait = error.retryAfterSeconds;
  const remedy = wait
    ? `Try again in ${wait < 1.5 ? "a second" : `${Math.ceil(wait)} seconds`}.`
    : (REMEDIES[error.code] ?? "");
  return {
    title: titleOf(error.code),
    message: error.message || "The server gave no reason.",
    violations: violationsOf(error),
    // The messages of Taskgate's own errors end with what to do.
    remedy: isOwn(error) ? "" : remedy,
    reference: [
      error.reason || error.code.toUpperCase(),
      error.requestId && `request id ${error.requestId}`,
    ]
      .filter(Boolean)
      .join(" · "),
  };
}

/**
 * Return whether an error is a defect or a failure to load a module. What the console throws on
 * purpose is a plain Error, whose message says what to do.
 *
 * @param {unknown} error
 */
function isUnexpected(error) {
  return !(error instanceof Error) || error.constructor !== Error;
}

/** @param {string} code such as "not_found" */
function titleOf(code) {
  const words = code.replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** @param {ApiError} error */
function isOwn(error) {
  return detailOf(error.details, "google.rpc.ErrorInfo")?.["domain"] === "taskgate";
}

/**
 * @param {ApiError} error
 * @returns {string[]}
 */
function violationsOf(error) {
  /** @type {{field?: string, subject?: string, description?: string}[]} */
  const violations = [
    ...(detailOf(error.details, "google.rpc.BadRequest")?.["fieldViolations"] ?? []),
    ...(detailOf(error.details, "google.rpc.QuotaFailure")?.["violations"] ?? []),
  ];
  return violations
    .map(({ field, subject, description = "" }) => {
      const of = field ?? subject ?? "";
      return of ? `${of}: ${description}` : description;
    })
    .filter((each) => !error.message.includes(each));
}
