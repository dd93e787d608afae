/**
 * Which job or run a call is about, told in its metadata for proxies that cannot read messages.
 *
 * A proxy that hashes it sends all calls about one job to one replica. The server does not read it.
 */

import type { DescMethod } from "@bufbuild/protobuf";

import { TaskService } from "./gen/taskgate/v1/task_service_pb.js";

/** The key of the metadata. */
export const PARENT_KEY = "taskgate-parent";

/** What one poller of the server asks for as a whole: steps and tasks are parts of it. */
const WHOLES: readonly (string | undefined)[] = ["jobs", "runs"];

/** Whichever of the fields with names a request has. */
interface Naming {
  readonly name?: string;
  readonly parent?: string;
  readonly names?: readonly string[];
  readonly updates?: readonly { readonly name?: string }[];
}

/** The job or run in a name of it, of a step or of a task; any other name as it is. */
export function parentOf(name: string): string {
  const parts = name.split("/");
  for (let index = 1; index < parts.length; index += 2) {
    if (WHOLES.includes(parts[index])) {
      return parts.slice(0, index + 2).join("/");
    }
  }
  return name;
}

/** The one parent of all that a call of TaskService names; undefined where there is none to tell. */
export function sharedParent(method: DescMethod, request: unknown): string | undefined {
  if (method.parent.typeName !== TaskService.typeName) {
    return undefined;
  }
  const [parent, ...others] = new Set(namesIn(request as Naming).map(parentOf));
  // Metadata takes nothing else, and such a name is none: the server says so.
  const canBeSent = parent !== undefined && /^[ -~]+$/.test(parent);
  return canBeSent && others.length === 0 ? parent : undefined;
}

function namesIn({ name = "", parent = "", names = [], updates = [] }: Naming): string[] {
  const single = [name, parent].filter((each) => each !== "");
  return [...single, ...names, ...updates.map((update) => update.name ?? "")];
}
