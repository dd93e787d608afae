/**
 * The error details of google.rpc, as objects.
 *
 * Connect sends a detail as a type name and its serialized message; a `google.rpc.Status` within a
 * response has proto3 JSON. Both become the same objects here: the fields in camelCase, and the type
 * name in `@type`.
 */

/** @typedef {{"@type": string, [field: string]: unknown}} Detail */

/**
 * The fields of a message by number: name, and how to decode it.
 *
 * @typedef {{[number: number]: [name: string, kind: "text" | "int" | Fields, cardinality?: "many" | "map"]}} Fields
 */

const PREFIX = "type.googleapis.com/";

/** @type {Record<string, Fields>} */
const MESSAGES = {
  "google.rpc.ErrorInfo": {
    1: ["reason", "text"],
    2: ["domain", "text"],
    3: ["metadata", { 1: ["key", "text"], 2: ["value", "text"] }, "map"],
  },
  "google.rpc.RequestInfo": { 1: ["requestId", "text"], 2: ["servingData", "text"] },
  "google.rpc.RetryInfo": { 1: ["retryDelay", { 1: ["seconds", "int"], 2: ["nanos", "int"] }] },
  "google.rpc.BadRequest": {
    1: ["fieldViolations", { 1: ["field", "text"], 2: ["description", "text"] }, "many"],
  },
  "google.rpc.QuotaFailure": {
    1: ["violations", { 1: ["subject", "text"], 2: ["description", "text"] }, "many"],
  },
  "google.rpc.ResourceInfo": {
    1: ["resourceType", "text"],
    2: ["resourceName", "text"],
    3: ["owner", "text"],
    4: ["description", "text"],
  },
};

/**
 * Convert the details of a Connect error or of a `google.rpc.Status`. Details of unknown types keep
 * their type name only.
 *
 * @param {unknown} details
 * @returns {Detail[]}
 */
export function decodeDetails(details) {
  if (!Array.isArray(details)) return [];
  return details.filter((each) => each && typeof each === "object").map(decodeDetail);
}

/**
 * Return the detail of a type.
 *
 * @param {Detail[]} details
 * @param {string} type such as "google.rpc.ErrorInfo"
 * @returns {Record<string, any> | undefined}
 */
export function detailOf(details, type) {
  return details.find((each) => each["@type"] === type);
}

/**
 * Return the delay of a RetryInfo in seconds, and undefined if there is none.
 *
 * @param {Detail[]} details
 * @returns {number | undefined}
 */
export function retryDelay(details) {
  const delay = detailOf(details, "google.rpc.RetryInfo")?.["retryDelay"];
  if (typeof delay === "string") return Number.parseFloat(delay);
  if (!delay) return undefined;
  return Number(delay.seconds ?? 0) + Number(delay.nanos ?? 0) / 1e9;
}

/**
 * @param {Record<string, unknown>} detail
 * @returns {Detail}
 */
function decodeDetail(detail) {
  if (typeof detail["@type"] === "string") {
    return { ...detail, "@type": withoutPrefix(detail["@type"]) };
  }
  const type = withoutPrefix(String(detail["type"] ?? ""));
  const fields = MESSAGES[type];
  if (!fields || typeof detail["value"] !== "string") return { "@type": type };
  try {
    return { ...decodeMessage(bytesOf(detail["value"]), fields), "@type": type };
  } catch {
    return { "@type": type }; // The error itself matters more than a detail that cannot be decoded.
  }
}

/** @param {string} type */
function withoutPrefix(type) {
  return type.startsWith(PREFIX) ? type.slice(PREFIX.length) : type;
}

/**
 * @param {string} base64 of the standard or the URL alphabet, with or without padding
 * @returns {Uint8Array}
 */
function bytesOf(base64) {
  const text = atob(base64.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(text, (each) => each.charCodeAt(0));
}

/**
 * Decode a serialized message. Unknown fields are skipped.
 *
 * @param {Uint8Array} bytes
 * @param {Fields} fields
 * @returns {Record<string, any>}
 */
function decodeMessage(bytes, fields) {
  /** @type {Record<string, any>} */
  const message = {};
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = bytes[at++];
      if (byte === undefined) throw new RangeError("the message is truncated");
      value += (byte % 128) * scale;
      if (byte < 128) return value;
    }
  };
  while (at < bytes.length) {
    const tag = varint();
    const field = fields[Math.floor(tag / 8)];
    const wireType = tag % 8;
    if (wireType === 0) {
      const value = varint();
      if (field) message[field[0]] = value;
    } else if (wireType === 2) {
      const size = varint();
      if (at + size > bytes.length) throw new RangeError("the message is truncated");
      if (field) add(message, field, bytes.subarray(at, at + size));
      at += size;
    } else if (wireType === 1 || wireType === 5) {
      at += wireType === 1 ? 8 : 4;
    } else {
      throw new RangeError(`wire type ${wireType} is not supported`);
    }
  }
  return message;
}

/**
 * @param {Record<string, any>} message
 * @param {Fields[number]} field
 * @param {Uint8Array} bytes
 */
function add(message, [name, kind, cardinality], bytes) {
  const value =
    typeof kind === "object" ? decodeMessage(bytes, kind) : new TextDecoder().decode(bytes);
  if (cardinality === "many") {
    (message[name] ??= []).push(value);
  } else if (cardinality === "map") {
    const { key = "", value: content = "" } = /** @type {Record<string, string>} */ (value);
    (message[name] ??= {})[key] = content;
  } else {
    message[name] = value;
  }
}
