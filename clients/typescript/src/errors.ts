/** Failed calls, with their details unpacked: the bad fields, how long to wait, which AWS request. */

import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { createRegistry, fromBinary } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { status as grpcStatus } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";

import { StatusSchema } from "./gen/google/rpc/status_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import * as details from "./gen/google/rpc/error_details_pb.js";

/** A gRPC status by its name. */
export type Code = keyof typeof grpcStatus;

/** What is wrong with one field of a request. */
export interface Violation {
  /** Where in the request it is, such as `updates[2].name`. */
  readonly field: string;
  /** What is wrong with it, for a person. */
  readonly description: string;
}

/** What is known of a failed call. */
export interface Failure {
  /** The gRPC status, by its name. */
  code: Code;
  /** What went wrong, for a person. */
  message: string;
  /** Such as RESOURCE_NOT_FOUND_EXCEPTION: AWS's error code, or Taskgate's own reason. */
  reason: string;
  /** Who says so: `deadline.amazonaws.com`, `omics.amazonaws.com` or `taskgate`. */
  domain: string;
  /** What else is told of the reason, by name. */
  metadata: Readonly<Record<string, string>>;
  /** Every field of the request that is wrong. */
  violations: readonly Violation[];
  /** How long to wait before trying again, in milliseconds, where it is known. */
  retryAfterMs: number | undefined;
  /** The thing that is missing or in conflict. */
  resource: { readonly type: string; readonly id: string } | undefined;
  /** The id of the AWS quota that was exceeded. */
  quota: string;
  /** AWS's id of the request if there was one, else Taskgate's id of the call. */
  requestId: string;
}

/** A call that Taskgate answered with an error, or could not answer. */
export class TaskgateError extends Error implements Failure {
  /** The name of the class, for logs. */
  override readonly name = "TaskgateError";
  /** The gRPC status, by its name. */
  readonly code: Code;
  /** Such as RESOURCE_NOT_FOUND_EXCEPTION: AWS's error code, or Taskgate's own reason. */
  readonly reason: string;
  /** Who says so: `deadline.amazonaws.com`, `omics.amazonaws.com` or `taskgate`. */
  readonly domain: string;
  /** What else is told of the reason, by name. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Every field of the request that is wrong. */
  readonly violations: readonly Violation[];
  /** How long to wait before trying again, in milliseconds, where it is known. */
  readonly retryAfterMs: number | undefined;
  /** The thing that is missing or in conflict. */
  readonly resource: { readonly type: string; readonly id: string } | undefined;
  /** The id of the AWS quota that was exceeded. */
  readonly quota: string;
  /** AWS's id of the request if there was one, else Taskgate's id of the call. */
  readonly requestId: string;

  constructor(failure: Partial<Failure> & Pick<Failure, "code" | "message">) {
    super(failure.message);
    this.code = failure.code;
    this.reason = failure.reason ?? "";
    this.domain = failure.domain ?? "";
    this.metadata = failure.metadata ?? {};
    this.violations = failure.violations ?? [];
    this.retryAfterMs = failure.retryAfterMs;
    this.resource = failure.resource;
    this.quota = failure.quota ?? "";
    this.requestId = failure.requestId ?? "";
  }

  /** What an error of gRPC says; works for servers of other makes too. */
  static of(error: ServiceError): TaskgateError {
    const [packed] = error.metadata.get("grpc-status-details-bin");
    const status = Buffer.isBuffer(packed)
      ? readable(() => fromBinary(StatusSchema, packed))
      : undefined;
    const told = status === undefined ? {} : unpacked(status);
    return new TaskgateError({ ...told, code: codeOf(error.code), message: error.details });
  }

  /** What an error inside an answer says, such as that of one item of a batch. */
  static ofStatus(status: Status): TaskgateError {
    return new TaskgateError({
      ...unpacked(status),
      code: codeOf(status.code),
      message: status.message,
    });
  }
}

const REGISTRY = createRegistry(
  details.ErrorInfoSchema,
  details.RequestInfoSchema,
  details.BadRequestSchema,
  details.RetryInfoSchema,
  details.ResourceInfoSchema,
  details.QuotaFailureSchema,
);

function codeOf(number: number): Code {
  return (grpcStatus[number] as Code | undefined) ?? "UNKNOWN";
}

function unpacked(status: Status): Partial<Failure> {
  const failure: Partial<Failure> = {};
  for (const packed of status.details) {
    const detail = readable(() => anyUnpack(packed, REGISTRY));
    if (detail) {
      Object.assign(failure, told(detail));
    }
  }
  return failure;
}

/** Details are extra: what cannot be read must not hide the error that it came with. */
function readable<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function told(detail: Message): Partial<Failure> {
  switch (detail.$typeName) {
    case "google.rpc.ErrorInfo": {
      const { reason, domain, metadata } = detail as details.ErrorInfo;
      return { reason, domain, metadata };
    }
    case "google.rpc.RequestInfo":
      return { requestId: (detail as details.RequestInfo).requestId };
    case "google.rpc.BadRequest":
      return {
        violations: (detail as details.BadRequest).fieldViolations.map(
          ({ field, description }) => ({ field, description }),
        ),
      };
    case "google.rpc.RetryInfo": {
      const { retryDelay } = detail as details.RetryInfo;
      return {
        retryAfterMs: Number(retryDelay?.seconds ?? 0n) * 1000 + (retryDelay?.nanos ?? 0) / 1e6,
      };
    }
    case "google.rpc.ResourceInfo": {
      const { resourceType, resourceName } = detail as details.ResourceInfo;
      return { resource: { type: resourceType, id: resourceName } };
    }
    case "google.rpc.QuotaFailure":
      return {
        quota:
          (detail as details.QuotaFailure).violations.find((each) => each.quotaId !== "")
            ?.quotaId ?? "",
      };
    default:
      return {};
  }
}
