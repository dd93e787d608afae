/**
 * The job or run that a call is about, sent as metadata for proxies, which cannot read messages.
 *
 * A proxy that hashes it routes all calls about one job to one replica. The server does not read it.
 */

import type { DescMethod } from "@bufbuild/protobuf";

import { TaskService } from "./gen/taskgate/v1/task_service_pb.js";

/** The metadata key. */
export const PARENT_KEY = "taskgate-parent";

/** Collections whose members the server polls as a whole, with their steps and tasks. */
const POLLED_COLLECTIONS: readonly (string | undefined)[] = ["jobs", "runs"];

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
  for (let index = 1; index < parts.length; index += 2) {
    if (POLLED_COLLECTIONS.includes(parts[index])) {
      return parts.slice(0, index + 2).join("/");
    }
  }
  return name;
}

/** Returns the parent that all names in a request of TaskService share, if there is one. */
export function sharedParent(method: DescMethod, request: unknown): string | undefined {
  if (method.parent.typeName !== TaskService.typeName) {
    return undefined;
  }
  const [parent, ...others] = new Set(namesIn(request as NamedRequest).map(parentOf));
  // Metadata has to be printable ASCII. No valid name is anything else; the server rejects it.
  const canBeSent = parent !== undefined && /^[ -~]+$/.test(parent);
  return canBeSent && others.length === 0 ? parent : undefined;
}

function namesIn({ name = "", parent = "", names = [], updates = [] }: NamedRequest): string[] {
  const single = [name, parent].filter((each) => each !== "");
  return [...single, ...names, ...updates.map((update) => update.name ?? "")];
}
