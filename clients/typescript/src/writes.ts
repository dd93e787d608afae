/**
 * When the writes of a client ended, so that its reads show them, whichever replica serves them.
 *
 * A read sends the time since the latest write of what it names. A replica that shares nothing with the
 * one that executed the write then returns only what AWS returned after it. No clocks are compared: the
 * time that the request takes only makes the response fresher.
 */

import type { DescMethod } from "@bufbuild/protobuf";

/** The metadata key of the seconds since the latest write. */
export const SINCE_WRITE_KEY = "taskgate-since-write";

/** How the names of RPCs that read begin. All others may write. */
const READS = /^(BatchGet|Get|List|Search|Stream|Summarize|Wait|Watch)/;

/** Older writes are not sent: no server caches a response for longer. */
const MAX_MS = 300_000;

/** Jobs and runs whose latest write is stored. With more, all of them count as written. */
const MAX_PARENTS = 1_000;

/** Returns whether an RPC reads. */
export function isRead(method: DescMethod): boolean {
  return READS.test(method.name);
}

/** Returns whether an RPC may write; those of gRPC's own services, such as health, do not. */
export function isWrite(method: DescMethod): boolean {
  return !isRead(method) && !method.parent.typeName.startsWith("grpc.");
}

/** When the latest writes ended, by job or run, in milliseconds of a monotonic clock. */
export class Writes {
  /** When the latest write of anything ended. */
  private latest = -Infinity;
  /** When the latest write ended that may concern any job or run. */
  private ofAll = -Infinity;
  private readonly byParent = new Map<string, number>();

  constructor(private readonly now: () => number) {}

  /**
   * Records that a write of jobs and runs has ended; undefined if it may concern others. One that
   * failed may have been executed all the same.
   */
  record(parents: ReadonlySet<string> | undefined): void {
    this.latest = this.now();
    for (const parent of parents ?? []) {
      this.byParent.set(parent, this.latest);
    }
    if (parents === undefined || this.byParent.size > MAX_PARENTS) {
      this.byParent.clear();
      this.ofAll = this.latest;
    }
  }

  /**
   * Returns the seconds since the latest write of jobs and runs, rounded down, as metadata.
   *
   * @param parents undefined if the read may concern others.
   * @returns undefined if there was no write that matters.
   */
  since(parents: ReadonlySet<string> | undefined): string | undefined {
    const ended =
      parents === undefined
        ? this.latest
        : Math.max(this.ofAll, ...[...parents].map((each) => this.byParent.get(each) ?? -Infinity));
    const elapsedMs = this.now() - ended;
    return elapsedMs > MAX_MS ? undefined : (Math.floor(elapsedMs) / 1_000).toFixed(3);
  }
}
