/**
 * Typed names of tasks and of their parents, by their forms: `omics/runs/{run}/tasks/{task}`.
 *
 * Newer versions have names of more services: a `switch` over kinds needs a default.
 */

import { FORMS, PARENTS, TASKS } from "./name_forms.js";

type Forms = typeof FORMS;

/** The kinds of names. */
export type NameKind = keyof Forms;

type Ids<Form extends string> = Form extends `${string}{${infer Id}}${infer Rest}`
  ? Id | Ids<Rest>
  : never;

/** A parsed name: its kind and its ids. */
export type Name<Kind extends NameKind = NameKind> = {
  [K in Kind]: { readonly kind: K } & Readonly<Record<Ids<Forms[K]>, string>>;
}[Kind];

/** The name of a task. */
export type TaskName = Name<(typeof TASKS)[number]>;

/** The name of a parent of tasks. */
export type ParentName = Name<(typeof PARENTS)[number]>;

/**
 * Formats a name.
 *
 * @throws RangeError for an id that is empty or contains a slash.
 */
export function formatName(name: Name): string {
  const ids = name as unknown as Readonly<Record<string, string | undefined>>;
  return FORMS[name.kind].replace(/\{(\w+)\}/g, (_, key: string) => {
    const id = ids[key] ?? "";
    if (id === "" || id.includes("/")) {
      throw new RangeError(
        `the id ${JSON.stringify(id)} of the ${key} is empty or contains a slash`,
      );
    }
    return id;
  });
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
 * Parses the name of a parent of tasks.
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
  const segments = name.split("/");
  for (const kind of kinds) {
    const ids = match(FORMS[kind].split("/"), segments);
    if (ids !== undefined) {
      return { kind, ...Object.fromEntries(ids) } as Name<Kind>;
    }
  }
  const forms = kinds.map((kind) => FORMS[kind]).join(" or ");
  throw new RangeError(`${JSON.stringify(name)} is not a ${description}; the form is ${forms}`);
}

/** Returns the ids in the segments of a name, with what they identify, if it has the form. */
export function match(
  form: readonly string[],
  name: readonly string[],
): (readonly [string, string])[] | undefined {
  const matches =
    form.length === name.length &&
    form.every((segment, index) => (isId(segment) ? name[index] !== "" : name[index] === segment));
  return matches
    ? form.flatMap((segment, index) =>
        isId(segment) ? [[segment.slice(1, -1), name[index] ?? ""] as const] : [],
      )
    : undefined;
}

function isId(segment: string): boolean {
  return segment.startsWith("{");
}
