import { getEventListeners } from "node:events";

import * as grpc from "@grpc/grpc-js";
import { afterEach, describe, expect, it } from "vitest";

import { OmicsService } from "../src/gen/taskgate/omics/v1/omics_pb.js";
import { TaskService } from "../src/gen/taskgate/v1/task_service_pb.js";
import { connect } from "../src/index.js";
import type { Client, TaskgateError } from "../src/index.js";
import { serve } from "./server.js";
import type { Served, TestServer } from "./server.js";

let server: TestServer;
let client: Client;

async function serving(...methods: readonly Served[]): Promise<void> {
  server = await serve(...methods);
  client = connect(server.address);
}

afterEach(() => {
  client.close();
  server.stop();
});

type Unary = grpc.handleUnaryCall<Buffer, Buffer>;
type Done = grpc.sendUnaryData<Buffer>;
type Streams = grpc.handleServerStreamingCall<Buffer, Buffer>;
type Takes = grpc.handleClientStreamingCall<Buffer, Buffer>;

const EMPTY = Buffer.alloc(0);

describe("a call", () => {
  it("of another service is retried if its path is listed", async () => {
    let calls = 0;
    const refuse: Unary = (_, respond) => {
      calls += 1;
      respond(calls === 1 ? { code: grpc.status.UNAVAILABLE } : null, EMPTY);
    };
    server = await serve([TaskService.method.cancelTask, refuse]);
    client = connect(server.address, { retried: ["/taskgate.v1.TaskService/CancelTask"] });
    await client.service(TaskService).cancelTask({ name: "x" });
    expect(calls).toBe(2);
  });

  it("fails with its status when its details are malformed", async () => {
    const refuse: Unary = (_, respond) => {
      const metadata = new grpc.Metadata();
      metadata.set("grpc-status-details-bin", Buffer.from([0xff, 0xff, 0xff]));
      respond({ code: grpc.status.DATA_LOSS, details: "it is gone", metadata });
    };
    await serving([TaskService.method.getTask, refuse]);
    await expect(client.getTask({ name: "x" })).rejects.toMatchObject({
      name: "TaskgateError",
      code: "DATA_LOSS",
      message: "it is gone",
      reason: "",
    });
  });

  it("is not made when its signal is already aborted", async () => {
    let calls = 0;
    const respond: Unary = (_, done) => {
      calls += 1;
      done(null, EMPTY);
    };
    await serving([TaskService.method.getServerInfo, respond]);
    const reason = new Error("not now");
    await expect(client.getServerInfo({ signal: AbortSignal.abort(reason) })).rejects.toBe(reason);
    expect(calls).toBe(0);
  });

  it("goes to all servers in turn with load balancing", async () => {
    let calls = 0;
    const count: Unary = (_, done) => {
      calls += 1;
      done(null, EMPTY);
    };
    await serving([TaskService.method.getServerInfo, count]);
    const other = await serve([
      TaskService.method.getServerInfo,
      (_: unknown, done: Done) => {
        done(null, EMPTY);
      },
    ]);
    const balanced = connect(`ipv4:${server.address},${other.address}`, { balance: true });
    for (let number = 0; number < 10; number += 1) {
      await balanced.getServerInfo();
    }
    balanced.close();
    other.stop();
    expect(calls).toBeGreaterThan(2);
    expect(calls).toBeLessThan(8);
  });

  it("is not made by a closed client", async () => {
    await serving();
    client.close();
    const closed = { name: "TaskgateError", code: "CANCELLED" };
    await expect(client.getServerInfo()).rejects.toMatchObject(closed);
    await expect(client.waitTask({ name: "x" })).rejects.toMatchObject(closed);
    await expect(client.watchTasks({ parent: "x" }).next()).rejects.toMatchObject(closed);
  });

  it("leaves no listener on a signal that outlives it", async () => {
    const respond: Unary = (_, done) => {
      done(null, EMPTY);
    };
    await serving([TaskService.method.getServerInfo, respond]);
    const { signal, listeners } = counted();
    await client.getServerInfo({ signal });
    expect(listeners()).toBe(0);
  });

  it("ends with the connection", async () => {
    let arrived: () => void = () => undefined;
    const received = new Promise<void>((resolve) => (arrived = resolve));
    const hang: Unary = () => {
      arrived();
    };
    await serving([TaskService.method.getTask, hang]);
    const call = client.getTask({ name: "x" });
    await received;
    client.close();
    await expect(call).rejects.toMatchObject({ code: "CANCELLED" });
  });
});

describe("a watch", () => {
  it("ends with the connection", async () => {
    let arrived: () => void = () => undefined;
    const received = new Promise<void>((resolve) => (arrived = resolve));
    const hang: Streams = () => {
      arrived();
    };
    await serving([TaskService.method.watchTasks, hang]);
    const next = client.watchTasks({ parent: "x" }).next();
    await received;
    client.close();
    await expect(next).resolves.toEqual({ done: true, value: undefined });
  });

  it("leaves no listener on a signal that outlives it", async () => {
    const end: Streams = (call) => {
      call.end();
    };
    await serving([TaskService.method.streamTaskLogs, end]);
    const { signal, listeners } = counted();
    for await (const line of client.streamTaskLogs({ name: "x" }, { signal })) {
      expect.unreachable(line.message);
    }
    expect(listeners()).toBe(0);
  });
});

describe("a wait", () => {
  it("rejects with the signal's reason during a pause, too", async () => {
    const controller = new AbortController();
    const reason = new Error("enough");
    const early: Unary = (_, respond) => {
      respond(null, EMPTY); // not done, so that there is a pause before the next call
      setTimeout(() => {
        controller.abort(reason);
      }, 50);
    };
    await serving([TaskService.method.waitTask, early]);
    const waiting = client.waitTask({ name: "x" }, { signal: controller.signal });
    await expect(waiting).rejects.toBe(reason);
  });
});

describe("an upload", () => {
  const upload = OmicsService.method.uploadReadSetPart;
  const part = { payload: new Uint8Array(256 * 1024) };

  it("sends all parts and returns the response", async () => {
    let received = 0;
    const count: Takes = (call, respond) => {
      call.on("data", () => (received += 1));
      call.on("end", () => {
        respond(null, EMPTY);
      });
    };
    await serving([upload, count]);
    await client.omics.uploadReadSetPart(parts(5).all);
    expect(received).toBe(5);
  });

  it("stops when the server rejects it", async () => {
    const refuse: Takes = (_, respond) => {
      respond({ code: grpc.status.PERMISSION_DENIED, details: "no" });
    };
    await serving([upload, refuse]);
    const endless = parts(Infinity);
    await expect(client.omics.uploadReadSetPart(endless.all)).rejects.toMatchObject({
      code: "PERMISSION_DENIED",
    });
    expect(endless.isClosed()).toBe(true);
  });

  it("is cancelled when its source fails", async () => {
    let [arrived, left]: (() => void)[] = [];
    const received = new Promise<void>((resolve) => (arrived = resolve));
    const cancelled = new Promise<void>((resolve) => (left = resolve));
    const wait: Takes = (call) => {
      call.on("cancelled", () => left?.());
      call.resume();
      arrived?.();
    };
    await serving([upload, wait]);
    const failure = new Error("the disk is gone");
    async function* failing() {
      yield part;
      await received;
      throw failure;
    }
    await expect(client.omics.uploadReadSetPart(failing())).rejects.toBe(failure);
    await cancelled;
  });

  it("is aborted by its signal while its source is slow", async () => {
    await serving([upload, () => undefined]);
    const reason = new Error("enough");
    async function* slow() {
      yield part;
      await new Promise(() => undefined);
    }
    const controller = new AbortController();
    setTimeout(() => {
      controller.abort(reason);
    }, 50);
    const { signal } = controller;
    await expect(client.omics.uploadReadSetPart(slow(), { signal })).rejects.toBe(reason);
    await expect(client.omics.uploadReadSetPart(slow(), { signal })).rejects.toBe(reason);
  });

  function parts(count: number) {
    let closed = false;
    async function* all() {
      try {
        for (let number = 0; number < count; number += 1) {
          await Promise.resolve();
          yield part;
        }
      } finally {
        closed = true;
      }
    }
    return { all: all(), isClosed: () => closed };
  }
});

describe("a download", () => {
  it("fails with the server's error, as a TaskgateError", async () => {
    const refuse: Streams = (call) => {
      call.emit("error", { code: grpc.status.OUT_OF_RANGE, details: "no such part" });
    };
    await serving([OmicsService.method.getReadSet, refuse]);
    const read = async () => {
      for await (const each of client.omics.getReadSet({ id: "1" })) {
        expect.unreachable(each.$typeName);
      }
    };
    await expect(read()).rejects.toMatchObject({
      code: "OUT_OF_RANGE",
    } satisfies Partial<TaskgateError>);
  });
});

/** Returns a signal and a function that counts its listeners. */
function counted() {
  const { signal } = new AbortController();
  return { signal, listeners: () => getEventListeners(signal, "abort").length };
}
