/**
 * Typed names of tasks and of their parents.
 *
 * The name of a task is `deadline/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}` or
 * `omics/runs/{run}/tasks/{task}`; the name of a parent is a prefix that ends with a queue, job, step
 * or run.
 */

const FORMS = {
  deadlineTask: ["deadline", "farm", "queue", "job", "step", "task"],
  deadlineStep: ["deadline", "farm", "queue", "job", "step"],
  deadlineJob: ["deadline", "farm", "queue", "job"],
  deadlineQueue: ["deadline", "farm", "queue"],
  omicsTask: ["omics", "run", "task"],
  omicsRun: ["omics", "run"],
} as const;

type Forms = typeof FORMS;

/** The kinds of names. */
export type NameKind = keyof Forms;

type Ids<Form extends readonly string[]> = Form extends readonly [string, ...infer Rest]
  ? Readonly<Record<Extract<Rest[number], string>, string>>
  : never;

/** A parsed name: its kind and its ids. */
export type Name<Kind extends NameKind = NameKind> = {
  [K in Kind]: { readonly kind: K } & Ids<Forms[K]>;
}[Kind];

/** The name of a task. */
export type TaskName = Name<"deadlineTask" | "omicsTask">;

/** The name of a parent of tasks. */
export type ParentName = Name<"deadlineQueue" | "deadlineJob" | "deadlineStep" | "omicsRun">;

const TASKS = ["deadlineTask", "omicsTask"] as const;
const PARENTS = ["deadlineStep", "deadlineJob", "deadlineQueue", "omicsRun"] as const;

/**
 * Formats a name.
 *
 * @throws RangeError for an id that is empty or contains a slash.
 */
export function formatName(name: Name): string {
  const [service, ...keys] = FORMS[name.kind];
  const ids = name as unknown as Readonly<Record<string, string | undefined>>;
  const parts = keys.map((key) => {
    const id = ids[key] ?? "";
    if (id === "" || id.includes("/")) {
      throw new RangeError(`the id ${JSON.stringify(id)} in ${key}s is empty or contains a slash`);
    }
    return `${key}s/${id}`;
  });
  return [service, ...parts].join("/");
}

/**
 * Parses the name of a task.
 *
 * @throws RangeError for a malformed name.
 */
export function parseTaskName(name: string): TaskName {
  return parse(name, TASKS, "task name");
}

/**
 * Parses the name of a queue, job, step or run.
 *
 * @throws RangeError for a malformed name.
 */
export function parseParentName(name: string): ParentName {
  return parse(name, PARENTS, "parent name");
}

function parse<Kind extends NameKind>(
  name: string,
  kinds: readonly Kind[],
  description: string,
): Name<Kind> {
  const [service, ...parts] = name.split("/");
  for (const kind of kinds) {
    const [prefix, ...keys] = FORMS[kind];
    const matches =
      service === prefix &&
      parts.length === 2 * keys.length &&
      keys.every((key, index) => parts[2 * index] === `${key}s` && parts[2 * index + 1] !== "");
    if (matches) {
      const ids = keys.map((key, index) => [key, parts[2 * index + 1]]);
      return { kind, ...Object.fromEntries(ids) } as Name<Kind>;
    }
  }
  const forms = kinds.map((kind) => {
    const [prefix, ...keys] = FORMS[kind];
    return [prefix, ...keys.map((key) => `${key}s/{${key}}`)].join("/");
  });
  throw new RangeError(
    `${JSON.stringify(name)} is not a ${description}; the form is ${forms.join(" or ")}`,
  );
}
