/**
 * The start page: find something, browse, and see whether the server and AWS are ready.
 */

import { levelOf } from "../browse.js";
import { showContents } from "../container_list.js";
import { crumbs } from "../crumbs.js";
import { fill, h, refresh } from "../dom.js";
import { errorNotice } from "../errors.js";
import { findForm } from "../find.js";
import { href, setTitle } from "../router.js";
import { serverInfo } from "../server_info.js";
import { quotaTable, serviceState, targetsPanel } from "../services.js";
import { session } from "../session.js";
import { wait } from "../wait.js";

/** @typedef {import("../server_info.js").ServerInfo} ServerInfo */
/** @typedef {import("../server_info.js").AwsService} AwsService */

/** How often the readiness and the quota usage are read again; sooner while a service is not ready. */
const REFRESH_MS = 5000;
const NOT_READY_REFRESH_MS = 1000;

/** @type {import("../router.js").Page} */
export function page(root, { query }, { signal }) {
  const container = query.get("in") ?? "";
  if (container) showContainer(root, container, signal);
  else showStart(root, signal);
}

/**
 * @param {HTMLElement} root
 * @param {AbortSignal} signal
 */
async function showStart(root, signal) {
  const services = h("div", { class: "stack" });
  const status = {
    errors: h("div", null, h("p", { class: "loading", role: "status" }, "Loading")),
    server: h("div"),
    targets: h("div"),
    quotas: h("div"),
  };
  fill(
    root,
    h("h1", { class: "visually-hidden" }, "Jobs, runs and tasks"),
    h("section", { class: "panel hero", "aria-label": "Find" }, findForm()),
    h("div", { class: "start-columns" }, services, h("div", { class: "stack" }, Object.values(status))),
  );
  let isFirst = true;
  await repeat(signal, status.errors, async () => {
    const info = await serverInfo();
    if (signal.aborted) return undefined;
    if (isFirst) fill(services, (info.awsServices ?? []).map((each) => servicePanel(each, signal)));
    isFirst = false;
    const { awsServices = [], targets = [] } = info;
    const states = awsServices.map(({ quotaUsage, ...state }) => state);
    const quotas = awsServices.map(({ name, quotaUsage }) => ({ name, quotaUsage }));
    refresh(status.errors, null, () => []);
    refresh(status.server, [states, info.version], () => serverPanel(info));
    refresh(status.targets, [targets, session.target], () => targetsPanel(targets));
    refresh(status.quotas, quotas, () => quotasPanel(awsServices));
    return awsServices.every((each) => each.ready) ? REFRESH_MS : NOT_READY_REFRESH_MS;
  });
}

/**
 * @param {HTMLElement} root
 * @param {string} container the name of an AWS service, a farm or a queue
 * @param {AbortSignal} signal
 */
async function showContainer(root, container, signal) {
  const level = levelOf(container);
  const title = level?.items ?? "Unknown";
  setTitle(title);
  const contents = h("div", { class: "stack" });
  fill(
    root,
    crumbs(container),
    h("h1", null, title),
    h("section", { class: "panel", "aria-label": title }, contents),
  );
  try {
    if (!level) throw new Error(`"${container}" is not a service, a farm or a queue. Check the address.`);
    const services = (await serverInfo()).awsServices ?? [];
    const service = services.find((each) => each.name === container.split("/")[0]);
    if (!service) throw new Error(`This server does not serve "${container}".`);
    if (!signal.aborted) showContents(contents, container, service.grpcService, signal);
  } catch (error) {
    if (!signal.aborted) fill(contents, errorNotice(error, { title: "This cannot be listed" }));
  }
}

/**
 * Run a function now and again while the page is shown; show its errors.
 *
 * @param {AbortSignal} signal
 * @param {HTMLElement} root for the errors
 * @param {() => Promise<number | undefined>} run returns after how many milliseconds to run again
 */
async function repeat(signal, root, run) {
  while (!signal.aborted) {
    let delay;
    try {
      if (!document.hidden) delay = await run();
    } catch (error) {
      if (signal.aborted) return;
      const title = "The server's state is unknown";
      refresh(root, String(error), () => errorNotice(error, { title }));
    }
    await wait(delay ?? REFRESH_MS, signal);
  }
}

/**
 * Return the panel of what an AWS service contains.
 *
 * @param {AwsService} service
 * @param {AbortSignal} signal
 */
function servicePanel(service, signal) {
  const level = levelOf(service.name);
  const id = `service-${service.name}`;
  const contents = h("div", { class: "stack" });
  if (level) showContents(contents, service.name, service.grpcService, signal);
  else fill(contents, h("p", { class: "quiet small" }, "Find its tasks by name."));
  return h(
    "section",
    { class: "panel", "aria-labelledby": id },
    h(
      "header",
      null,
      h("h2", { id }, service.title || service.name),
      level && h("a", { class: "small", href: href("", "", { in: service.name }) }, level.items),
    ),
    contents,
  );
}

/**
 * Return the panel of the server and the readiness of its AWS services.
 *
 * @param {ServerInfo} info
 */
function serverPanel({ version, awsServices = [] }) {
  return h(
    "section",
    { class: "panel", "aria-labelledby": "server" },
    h(
      "header",
      null,
      h("h2", { id: "server" }, "Server"),
      h("span", { class: "small quiet" }, `Taskgate ${version}`),
    ),
    awsServices.map(serviceState),
  );
}

/**
 * Return the panel of the use of quotas.
 *
 * @param {AwsService[]} services
 */
function quotasPanel(services) {
  return h(
    "section",
    { class: "panel", "aria-labelledby": "quotas" },
    h(
      "header",
      null,
      h("h2", { id: "quotas" }, "Use of AWS quotas"),
      h("span", { class: "small quiet" }, "calls per second"),
    ),
    quotaTable(services),
  );
}
