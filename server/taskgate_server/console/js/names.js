/**
 * Resource names of tasks and of their parents, and where to find them in what people paste: a
 * name, AWS's ids in any order, an ARN, or a link to AWS's console or to a Deadline Cloud monitor.
 */

/**
 * A resource that the console can show.
 *
 * @typedef {{kind: string, service: string, name: string, ids: string[]}} ResourceName
 */

/**
 * The forms of names, the containers of tasks first; `{…}` is an id. Names of AWS services that are
 * not here come from plug-ins: of those, the console shows tasks only.
 *
 * @type {readonly {kind: string, form: string, label: string}[]}
 */
const FORMS = [
  { kind: "farm", form: "deadline/farms/{farm}", label: "Farm" },
  { kind: "queue", form: "deadline/farms/{farm}/queues/{queue}", label: "Queue" },
  { kind: "job", form: "deadline/farms/{farm}/queues/{queue}/jobs/{job}", label: "Job" },
  {
    kind: "step",
    form: "deadline/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}",
    label: "Step",
  },
  {
    kind: "task",
    form: "deadline/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}",
    label: "Task",
  },
  { kind: "run", form: "omics/runs/{run}", label: "Run" },
  { kind: "task", form: "omics/runs/{run}/tasks/{task}", label: "Task" },
];

/** Kinds that contain tasks and that the parent page shows. */
export const PARENT_KINDS = new Set(["job", "step", "run"]);

/**
 * AWS's ids, with their patterns in AWS's models. Ids of HealthOmics are numbers; the word before
 * an id names its kind: `#/runs/4721906/tasks/6657063`, `run/4721906`.
 */
const DEADLINE_ID = /\b(farm|queue|job|step)-[0-9a-f]{32}\b/gi;
const DEADLINE_TASK_ID = /\btask-[0-9a-f]{32}-\d+\b/i;
const OMICS_RUN = /\bruns?[/:\s#=]+(\d{1,18})\b(?:[/\s]+tasks?[/:\s#=]+(\d{1,18})\b)?/i;
const OMICS_IDS = /^(\d{1,18})(?:[\s,/]+(\d{1,18}))?$/;

/**
 * Parse a resource name.
 *
 * @param {string} name
 * @returns {ResourceName | null} null if it has none of the forms
 */
export function parseName(name) {
  const segments = name.split("/");
  for (const { kind, form } of FORMS) {
    const ids = match(form.split("/"), segments);
    if (ids) return { kind, service: segments[0] ?? "", name, ids };
  }
  const known = FORMS.some(({ form }) => form.startsWith(`${segments[0]}/`));
  const isTask = segments.length >= 3 && segments.at(-2) === "tasks" && segments.every(Boolean);
  if (known || !isTask) return null;
  return { kind: "task", service: segments[0] ?? "", name, ids: [segments.at(-1) ?? ""] };
}

/**
 * Find the resource in a text that a user has pasted.
 *
 * @param {string} text
 * @returns {{found: ResourceName} | {problem: string}}
 */
export function findName(text) {
  const trimmed = decode(text.trim());
  if (!trimmed) return { problem: "" };
  const exact = parseName(trimmed.replace(/^\/+|\/+$/g, ""));
  if (exact) return { found: exact };
  return findDeadline(trimmed) ?? findOmics(trimmed) ?? { problem: NOT_FOUND };
}

const NOT_FOUND =
  "No name found. Paste a resource name, AWS's ids (farm-…, queue-…, job-…, or run/1234567), an ARN, or a link to AWS's console.";

/**
 * @param {string} text
 * @returns {{found: ResourceName} | {problem: string} | null}
 */
function findDeadline(text) {
  /** @type {Record<string, string>} */
  const ids = {};
  for (const [id, kind = ""] of text.matchAll(DEADLINE_ID)) ids[kind.toLowerCase()] ??= id.toLowerCase();
  const task = DEADLINE_TASK_ID.exec(text)?.[0].toLowerCase();
  if (task) ids["task"] = task;
  if (Object.keys(ids).length === 0) return null;
  const kinds = ["farm", "queue", "job", "step", "task"];
  const last = kinds.findLastIndex((kind) => kind in ids);
  const missing = kinds.slice(0, last).filter((kind) => !(kind in ids));
  if (missing.length > 0) {
    const words = missing.map((kind) => `${kind}-…`).join(", ");
    return { problem: `The ${kinds[last]} is there. Add the ids of what it is in: ${words}` };
  }
  const name = kinds.slice(0, last + 1).map((kind) => `${kind}s/${ids[kind]}`);
  return found(["deadline", ...name].join("/"));
}

/**
 * @param {string} text
 * @returns {{found: ResourceName} | {problem: string} | null}
 */
function findOmics(text) {
  const [, run, task] = OMICS_RUN.exec(text) ?? OMICS_IDS.exec(text) ?? [];
  if (!run) {
    if (!/:omics:[^:]*:[^:]*:task\//i.test(text)) return null;
    return { problem: "The ARN of a HealthOmics task does not name its run. Paste run/… and task/… together." };
  }
  return found(task ? `omics/runs/${run}/tasks/${task}` : `omics/runs/${run}`);
}

/**
 * @param {string} name
 * @returns {{found: ResourceName} | {problem: string}}
 */
function found(name) {
  const parsed = parseName(name);
  return parsed ? { found: parsed } : { problem: NOT_FOUND };
}

/**
 * Return what contains a resource, the outermost first, and the resource itself last.
 *
 * @param {string} name
 * @returns {{kind: string, label: string, id: string, name: string}[]}
 */
export function pathOf(name) {
  const segments = name.split("/");
  const path = [];
  for (let end = 3; end <= segments.length; end += 2) {
    const part = segments.slice(0, end).join("/");
    const parsed = parseName(part);
    if (!parsed) continue;
    path.push({ kind: parsed.kind, label: labelOf(parsed), id: segments[end - 1] ?? "", name: part });
  }
  return path;
}

/**
 * Return the parent whose tasks include a task: its step or its run. Empty if that is unknown.
 *
 * @param {string} name of the task
 * @returns {string}
 */
export function parentOf(name) {
  return name.split("/").slice(0, -2).join("/");
}

/**
 * Shorten an id for display: the first digits of 32 are enough to distinguish two.
 *
 * @param {string} id such as "job-042b1e5c8d7f4a93b60e2d4c6f8a0b1d"
 * @returns {string}
 */
export function shortId(id) {
  return id.replace(/^([a-z]+-[0-9a-f]{6})[0-9a-f]{26}/, "$1…");
}

/** @param {ResourceName} resource */
function labelOf({ kind, name }) {
  return FORMS.find((each) => each.kind === kind && name.startsWith(each.form.split("/")[0] ?? ""))
    ?.label ?? "Task";
}

/**
 * @param {string[]} form
 * @param {string[]} segments
 * @returns {string[] | null}
 */
function match(form, segments) {
  if (form.length !== segments.length) return null;
  const ids = [];
  for (const [index, each] of form.entries()) {
    const segment = segments[index] ?? "";
    if (!each.startsWith("{")) {
      if (segment !== each) return null;
    } else if (segment) {
      ids.push(segment);
    } else {
      return null;
    }
  }
  return ids;
}

/** @param {string} text */
function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
