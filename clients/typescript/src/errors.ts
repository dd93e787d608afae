/** The error of a failed call, with its details unpacked. */

import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { createRegistry, fromBinary } from "@bufbuild/protobuf";
import type { Message } from "@bufbuild/protobuf";
import { status as grpcStatus } from "@grpc/grpc-js";
import type { ServiceError } from "@grpc/grpc-js";

import { StatusSchema } from "./gen/google/rpc/status_pb.js";
import type { Status } from "./gen/google/rpc/status_pb.js";
import * as pb from "./gen/google/rpc/error_details_pb.js";

/** A gRPC status by its name. */
export type Code = keyof typeof grpcStatus;

/** An invalid field of a request. */
export interface Violation {
  /** The path of the field, such as `updates[2].name`. */
  readonly field: string;
  /** What is wrong with it. */
  readonly description: string;
}

/** The properties of a {@link TaskgateError}. */
export interface ErrorDetails {
  /** The gRPC status, by its name. */
  code: Code;
  /** What went wrong. */
  message: string;
  /** AWS's error code or Taskgate's reason, such as RESOURCE_NOT_FOUND_EXCEPTION. */
  reason: string;
  /** Origin of the reason: `deadline.amazonaws.com`, `omics.amazonaws.com` or `taskgate`. */
  domain: string;
  /** Further details of the reason, by name. */
  metadata: Readonly<Record<string, string>>;
  /** All invalid fields of the request. */
  violations: readonly Violation[];
  /** How long to wait before a retry, in milliseconds, if known. */
  retryAfterMs: number | undefined;
  /** The resource that is missing or in conflict. */
  resource: { readonly type: string; readonly id: string } | undefined;
  /** The id of the exceeded AWS quota. */
  quota: string;
  /** AWS's request id if AWS was called, otherwise Taskgate's id of the call. */
  requestId: string;
}

/** A call that failed, on the server or on the way to it. */
export class TaskgateError extends Error implements ErrorDetails {
  /** The name of the class, for logs. */
  override readonly name = "TaskgateError";
  /** The gRPC status, by its name. */
  readonly code: Code;
  /** AWS's error code or Taskgate's reason, such as RESOURCE_NOT_FOUND_EXCEPTION. */
  readonly reason: string;
  /** Origin of the reason: `deadline.amazonaws.com`, `omics.amazonaws.com` or `taskgate`. */
  readonly domain: string;
  /** Further details of the reason, by name. */
  readonly metadata: Readonly<Record<string, string>>;
  /** All invalid fields of the request. */
  readonly violations: readonly Violation[];
  /** How long to wait before a retry, in milliseconds, if known. */
  readonly retryAfterMs: number | undefined;
  /** The resource that is missing or in conflict. */
  readonly resource: { readonly type: string; readonly id: string } | undefined;
  /** The id of the exceeded AWS quota. */
  readonly quota: string;
  /** AWS's request id if AWS was called, otherwise Taskgate's id of the call. */
  readonly requestId: string;

  constructor(details: Partial<ErrorDetails> & Pick<ErrorDetails, "code" | "message">) {
    super(details.message);
    this.code = details.code;
    this.reason = details.reason ?? "";
    this.domain = details.domain ?? "";
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryAfterMs = details.retryAfterMs;
    this.resource = details.resource;
    this.quota = details.quota ?? "";
    this.requestId = details.requestId ?? "";
  }

  /** Converts an error of grpc-js, also of other servers than Taskgate. */
  static of(error: ServiceError): TaskgateError {
    const [packed] = error.metadata.get("grpc-status-details-bin");
    const status = Buffer.isBuffer(packed)
      ? tryRead(() => fromBinary(StatusSchema, packed))
      : undefined;
    const details = status === undefined ? {} : unpack(status);
    return new TaskgateError({ ...details, code: codeOf(error.code), message: error.details });
  }

  /** Converts an error within a response, such as that of one item of a batch. */
  static ofStatus(status: Status): TaskgateError {
    return new TaskgateError({
      ...unpack(status),
      code: codeOf(status.code),
      message: status.message,
    });
  }
}

const REGISTRY = createRegistry(
  pb.ErrorInfoSchema,
  pb.RequestInfoSchema,
  pb.BadRequestSchema,
  pb.RetryInfoSchema,
  pb.ResourceInfoSchema,
  pb.QuotaFailureSchema,
);

function codeOf(number: number): Code {
  return (grpcStatus[number] as Code | undefined) ?? "UNKNOWN";
}

function unpack(status: Status): Partial<ErrorDetails> {
  const details: Partial<ErrorDetails> = {};
  for (const packed of status.details) {
    const detail = tryRead(() => anyUnpack(packed, REGISTRY));
    if (detail) {
      Object.assign(details, fieldsOf(detail));
    }
  }
  return details;
}

/** Returns undefined for malformed details: they must not hide the error itself. */
function tryRead<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function fieldsOf(detail: Message): Partial<ErrorDetails> {
  switch (detail.$typeName) {
    case "google.rpc.ErrorInfo": {
      const { reason, domain, metadata } = detail as pb.ErrorInfo;
      return { reason, domain, metadata };
    }
    case "google.rpc.RequestInfo":
      return { requestId: (detail as pb.RequestInfo).requestId };
    case "google.rpc.BadRequest":
      return {
        violations: (detail as pb.BadRequest).fieldViolations.map(({ field, description }) => ({
          field,
          description,
        })),
      };
    case "google.rpc.RetryInfo": {
      const { retryDelay } = detail as pb.RetryInfo;
      return {
        retryAfterMs: Number(retryDelay?.seconds ?? 0n) * 1000 + (retryDelay?.nanos ?? 0) / 1e6,
      };
    }
    case "google.rpc.ResourceInfo": {
      const { resourceType, resourceName } = detail as pb.ResourceInfo;
      return { resource: { type: resourceType, id: resourceName } };
    }
    case "google.rpc.QuotaFailure":
      return {
        quota:
          (detail as pb.QuotaFailure).violations.find((each) => each.quotaId !== "")?.quotaId ?? "",
      };
    default:
      return {};
  }
}
