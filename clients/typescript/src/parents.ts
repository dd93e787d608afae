/**
 * The parent that a call is about, sent as metadata for proxies, which cannot read messages.
 *
 * A proxy that hashes it routes all calls about one job to one replica. The server does not read it.
 *
 * It is the parent that the server polls with everything it contains, such as a job or a run. Names of
 * services that this version does not know belong to what directly contains the task.
 */

import type { DescMethod } from "@bufbuild/protobuf";

import { TaskService } from "./gen/taskgate/v1/task_service_pb.js";
import { ROOT_FORMS } from "./name_forms.js";
import { match } from "./names.js";

/** The metadata key. */
export const PARENT_KEY = "taskgate-parent";

/** The segments of the form by service. */
const ROOTS = new Map(ROOT_FORMS.map((form) => [form.split("/")[0], form.split("/")]));

/** The fields with names that a request may have. */
interface NamedRequest {
  readonly name?: string;
  readonly parent?: string;
  readonly names?: readonly string[];
  readonly updates?: readonly { readonly name?: string }[];
}

/** Returns the job or run in the name of a job, run, step or task; any other name unchanged. */
export function parentOf(name: string): string {
  const parts = name.split("/");
  const root = ROOTS.get(parts[0]);
  const start = parts.slice(0, root?.length);
  return root !== undefined && match(root, start) !== undefined ? start.join("/") : name;
}

/** Returns the job or run of a task, or what contains the task of an unknown service. */
export function parentOfTask(name: string): string {
  const parts = name.split("/");
  return ROOTS.has(parts[0]) || parts.length <= 3 ? parentOf(name) : parts.slice(0, -2).join("/");
}

/** Returns the parent that all names in a request of TaskService share, if there is one. */
export function sharedParent(method: DescMethod, request: unknown): string | undefined {
  if (method.parent.typeName !== TaskService.typeName) {
    return undefined;
  }
  const [parent, ...others] = new Set(parentsIn(request as NamedRequest));
  // Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
  const canBeSent = parent !== undefined && /^[ -~]+$/.test(parent);
  return canBeSent && others.length === 0 ? parent : undefined;
}

/**
 * Returns the jobs and runs of all names in a request of TaskService; undefined if it, or a request of
 * another service, may concern others, too.
 */
export function rootsIn(method: DescMethod, request: unknown): ReadonlySet<string> | undefined {
  if (method.parent.typeName !== TaskService.typeName) {
    return undefined;
  }
  const parents = parentsIn(request as NamedRequest);
  const areRoots = parents.length > 0 && parents.every(isRoot);
  return areRoots ? new Set(parents) : undefined;
}

function isRoot(name: string): boolean {
  const parts = name.split("/");
  const root = ROOTS.get(parts[0]);
  return root !== undefined && match(root, parts) !== undefined;
}

function parentsIn({ name = "", parent = "", names = [], updates = [] }: NamedRequest): string[] {
  const tasks = [...(name === "" ? [] : [name]), ...names];
  tasks.push(...updates.map((update) => update.name ?? ""));
  return [...(parent === "" ? [] : [parentOf(parent)]), ...tasks.map(parentOfTask)];
}
