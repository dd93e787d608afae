/**
 * Names of tasks and of what has them, built from ids and split into them.
 *
 * A task's is `deadline/farms/{farm}/queues/{queue}/jobs/{job}/steps/{step}/tasks/{task}` or
 * `omics/runs/{run}/tasks/{task}`; a parent's is the same, cut after a queue, a job, a step or a run.
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

/** What there are names of. */
export type NameKind = keyof Forms;

type Ids<Form extends readonly string[]> = Form extends readonly [string, ...infer Rest]
  ? Readonly<Record<Extract<Rest[number], string>, string>>
  : never;

/** A name taken apart: its kind, and its ids by what they are of. */
export type Name<Kind extends NameKind = NameKind> = {
  [K in Kind]: { readonly kind: K } & Ids<Forms[K]>;
}[Kind];

/** The name of a task. */
export type TaskName = Name<"deadlineTask" | "omicsTask">;

/** The name of what has tasks. */
export type ParentName = Name<"deadlineQueue" | "deadlineJob" | "deadlineStep" | "omicsRun">;

const TASKS = ["deadlineTask", "omicsTask"] as const;
const PARENTS = ["deadlineStep", "deadlineJob", "deadlineQueue", "omicsRun"] as const;

/**
 * The name of the ids.
 *
 * @throws RangeError for an id that is empty or has a slash.
 */
export function formatName(name: Name): string {
  const [service, ...keys] = FORMS[name.kind];
  const ids = name as unknown as Readonly<Record<string, string | undefined>>;
  const parts = keys.map((key) => {
    const id = ids[key] ?? "";
    if (id === "" || id.includes("/")) {
      throw new RangeError(`the id ${JSON.stringify(id)} under ${key}s is empty or has a slash`);
    }
    return `${key}s/${id}`;
  });
  return [service, ...parts].join("/");
}

/**
 * The ids in a task's name.
 *
 * @throws RangeError for what is no task's name.
 */
export function parseTaskName(name: string): TaskName {
  return parse(name, TASKS, "task name");
}

/**
 * The ids in the name of a queue, a job, a step or a run.
 *
 * @throws RangeError for what is none of them.
 */
export function parseParentName(name: string): ParentName {
  return parse(name, PARENTS, "name of a parent");
}

function parse<Kind extends NameKind>(
  name: string,
  kinds: readonly Kind[],
  what: string,
): Name<Kind> {
  const [service, ...parts] = name.split("/");
  for (const kind of kinds) {
    const [own, ...keys] = FORMS[kind];
    const fits =
      service === own &&
      parts.length === 2 * keys.length &&
      keys.every((key, index) => parts[2 * index] === `${key}s` && parts[2 * index + 1] !== "");
    if (fits) {
      const ids = keys.map((key, index) => [key, parts[2 * index + 1]]);
      return { kind, ...Object.fromEntries(ids) } as Name<Kind>;
    }
  }
  const forms = kinds.map((kind) => {
    const [own, ...keys] = FORMS[kind];
    return [own, ...keys.map((key) => `${key}s/{${key}}`)].join("/");
  });
  throw new RangeError(
    `${JSON.stringify(name)} is no ${what}; it must have the form ${forms.join(" or ")}`,
  );
}
