import { create } from "@bufbuild/protobuf";
import { anyPack } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";

import { ErrorInfoSchema, RetryInfoSchema } from "../src/gen/google/rpc/error_details_pb.js";
import { StatusSchema } from "../src/gen/google/rpc/status_pb.js";
import { TaskgateError } from "../src/index.js";

describe("an error", () => {
  it("has the details that can be read", () => {
    const info = create(ErrorInfoSchema, { reason: "CALLER_LIMIT", domain: "taskgate" });
    const retry = create(RetryInfoSchema, { retryDelay: { seconds: 1n, nanos: 500_000_000 } });
    const status = create(StatusSchema, {
      code: 8,
      message: "too much",
      details: [
        { typeUrl: "type.googleapis.com/google.rpc.BadRequest", value: new Uint8Array([0xff]) },
        { typeUrl: "type.googleapis.com/example.Newer", value: new Uint8Array([1]) },
        anyPack(ErrorInfoSchema, info),
        anyPack(RetryInfoSchema, retry),
      ],
    });
    expect(TaskgateError.ofStatus(status)).toMatchObject({
      code: "RESOURCE_EXHAUSTED",
      message: "too much",
      reason: "CALLER_LIMIT",
      violations: [],
      retryAfterMs: 1_500,
    });
  });

  it("has the code UNKNOWN for an unknown number", () => {
    expect(TaskgateError.ofStatus(create(StatusSchema, { code: 4711 })).code).toBe("UNKNOWN");
  });
});
