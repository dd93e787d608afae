// Calls a server with @connectrpc/connect-node and -web, without generated code.
// node client.mjs URL DESCRIPTORS TASK ABSENT PARENT: prints a line of JSON for each transport.
import { readFileSync } from "node:fs";
import { createFileRegistry, fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { ConnectError, createClient } from "@connectrpc/connect";
import * as node from "@connectrpc/connect-node";
import * as web from "@connectrpc/connect-web";

const [baseUrl, descriptors, name, absent, parent] = process.argv.slice(2);
const files = createFileRegistry(fromBinary(FileDescriptorSetSchema, readFileSync(descriptors)));
const service = files.getService("taskgate.v1.TaskService");
const options = { baseUrl, httpVersion: "1.1" };
const transports = {
  "node connect": node.createConnectTransport(options),
  "node connect json": node.createConnectTransport({ ...options, useBinaryFormat: false }),
  "node connect get": node.createConnectTransport({ ...options, useHttpGet: true }),
  "node grpc-web": node.createGrpcWebTransport(options),
  "web connect": web.createConnectTransport({ baseUrl, useHttpGet: true }),
  "web connect binary": web.createConnectTransport({ baseUrl, useBinaryFormat: true }),
  "web grpc-web": web.createGrpcWebTransport({ baseUrl }),
};

for (const [transport, value] of Object.entries(transports)) {
  const client = createClient(service, value);
  const response = await client.getTask({ name });
  let code = 0;
  let details = 0;
  try {
    await client.getTask({ name: absent });
  } catch (error) {
    ({ code, details: { length: details } } = ConnectError.from(error));
  }
  const events = [];
  for await (const message of client.watchTasks({ parent, untilSettled: true })) {
    events.push(message.event.case);
  }
  console.log(JSON.stringify({ transport, name: response.task.name, code, details, events }));
}
