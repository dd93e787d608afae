/**
 * The state of the AWS services of a server: readiness, targets and the use of quotas.
 */

import { h, svg } from "./dom.js";
import { number } from "./format.js";
import { href } from "./router.js";
import { session } from "./session.js";

/** @typedef {import("./server_info.js").AwsService} AwsService */
/** @typedef {import("./server_info.js").QuotaUsage} QuotaUsage */
/** @typedef {import("./server_info.js").Target} Target */

/** Above this part of a limit, calls may have to wait. */
const NEARLY_FULL = 0.8;

/**
 * Return the readiness of an AWS service.
 *
 * @param {AwsService} service
 * @returns {HTMLElement}
 */
export function serviceState(service) {
  return h(
    "div",
    { class: "service-state" },
    h(
      "div",
      null,
      readyMark(Boolean(service.ready)),
      h(
        "span",
        null,
        h("strong", null, service.title || service.name),
        " ",
        h("span", { class: "quiet small unbroken" }, service.region ?? "region unknown"),
      ),
      h("span", { class: "small" }, service.ready ? "Ready" : "Not ready"),
    ),
    !service.ready &&
      h(
        "p",
        { class: "notice small", "data-kind": "warning" },
        service.notReadyReason ?? "The server gives no reason.",
      ),
  );
}

/**
 * Return the targets of a server with their regions; null if there is only one.
 *
 * @param {Target[]} targets
 * @returns {HTMLElement | null}
 */
export function targetsPanel(targets) {
  if (targets.length < 2) return null;
  const chosen = session.target || "default";
  return h(
    "section",
    { class: "panel", "aria-labelledby": "targets" },
    h("header", null, h("h2", { id: "targets" }, "Targets")),
    h(
      "ul",
      { class: "targets" },
      targets.map(({ name, services = [] }) =>
        h(
          "li",
          { class: "row" },
          h(
            "a",
            { href: href("", "", { target: name }), "aria-current": name === chosen ? "true" : null },
            name,
          ),
          services.map((each) =>
            h(
              "span",
              { class: "row small quiet" },
              readyMark(Boolean(each.ready)),
              `${each.name} ${each.region ?? "?"}`,
              !each.ready && " (not ready)",
            ),
          ),
        ),
      ),
    ),
  );
}

/**
 * Return how much of the quotas is used, the operation closest to its limit first.
 *
 * @param {AwsService[]} services
 * @returns {HTMLElement}
 */
export function quotaTable(services) {
  const rows = services
    .flatMap((service) => (service.quotaUsage ?? []).map((usage) => ({ service, usage })))
    .sort((a, b) => fraction(b.usage) - fraction(a.usage) || (b.usage.used ?? 0) - (a.usage.used ?? 0));
  if (rows.length === 0) {
    return h("p", { class: "quiet small" }, "The server has not called AWS yet.");
  }
  return h(
    "div",
    { class: "scroll quota-scroll", tabindex: "0", role: "region", "aria-labelledby": "quotas" },
    h(
      "table",
      { class: "data" },
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          h("th", { scope: "col" }, "Operation"),
          h("th", { scope: "col", class: "number" }, "Used"),
          h("th", { scope: "col", class: "number" }, "Limit"),
          h("th", { scope: "col", class: "meter-column" }, h("span", { class: "visually-hidden" }, "Part")),
        ),
      ),
      h(
        "tbody",
        null,
        rows.map(({ service, usage }) => quotaRow(service, usage)),
      ),
    ),
  );
}

/**
 * @param {AwsService} service
 * @param {QuotaUsage} usage
 */
function quotaRow(service, usage) {
  const part = Math.min(fraction(usage), 1);
  return h(
    "tr",
    null,
    h(
      "th",
      { scope: "row" },
      usage.operation,
      " ",
      h("span", { class: "quiet small" }, service.name),
    ),
    h("td", { class: "number" }, number(usage.used ?? 0)),
    h("td", { class: "number" }, usage.limit === undefined ? "none" : number(usage.limit)),
    h(
      "td",
      { class: "meter-column" },
      usage.limit !== undefined &&
        h(
          "div",
          { class: "meter", "data-full": part >= NEARLY_FULL },
          h("span", { style: { "inline-size": `${Math.round(part * 100)}%` } }),
          h("span", { class: "visually-hidden" }, `${Math.round(part * 100)} %`),
        ),
    ),
  );
}

/** @param {QuotaUsage} usage */
function fraction({ used = 0, limit }) {
  return limit ? used / limit : 0;
}

/** @param {boolean} ready */
function readyMark(ready) {
  return svg(
    "svg",
    { class: `mark state-${ready ? "succeeded" : "failed"}`, viewBox: "0 0 16 16", "aria-hidden": "true" },
    svg("circle", { class: "mark-area", cx: 8, cy: 8, r: 7.5 }),
    svg("path", { class: "mark-shape", d: ready ? "M4.5 8.5L7 11L11.5 5.5" : "M5 5L11 11M11 5L5 11" }),
  );
}
