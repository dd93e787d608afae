/**
 * The conformance runner of the TypeScript client. clients/conformance/README.md describes its
 * protocol.
 */

import { createInterface } from "node:readline";

import {
  TaskAction,
  TaskState,
  TaskView,
  TaskgateError,
  connect,
  durationFromMs,
  formatName,
} from "../src/index.js";
import { TaskTargetRunStatus } from "../src/gen/taskgate/deadline/v1/deadline_pb.js";
import type { CallOptions, Client, Token, Watch } from "../src/index.js";
import * as values from "./values.js";

interface Command {
  readonly do: string;
  readonly address: string;
  readonly tls?: { ca: string; certificate?: string; key?: string; server_name?: string };
  readonly token?: string;
  readonly token_file?: string;
  readonly token_sequence?: string[];
  readonly target?: string;
  readonly balance?: boolean;
  readonly name: string;
  readonly names?: string[];
  readonly parent?: string;
  readonly filter?: string;
  readonly page_size?: number;
  readonly limit?: number;
  readonly tail?: number;
  readonly attempt?: number;
  readonly follow?: boolean;
  readonly max_age?: number;
  readonly view?: keyof typeof TaskView;
  readonly timeout?: number;
  readonly cancel_after?: number;
  readonly states?: string[];
  readonly request_id?: string;
  readonly reason?: string;
  readonly updates?: Record<string, keyof typeof TaskAction>;
  readonly until_settled?: boolean;
  readonly heartbeat_interval?: number;
  readonly skip?: string[];
  readonly service?: string;
  readonly farm_id: string;
  readonly chunks?: number;
  readonly kind: string;
  readonly ids: string[];
}

let connected: Client | undefined;
let watch: Watch | undefined;

function client(): Client {
  if (connected === undefined) {
    throw new Error("no client is connected");
  }
  return connected;
}

const COMMANDS: Record<string, (command: Command, options: CallOptions) => unknown> = {
  connect: (command) => {
    watch?.close();
    connected?.close();
    connected = undefined;
    const { ca, certificate, key, server_name: serverName } = command.tls ?? { ca: "" };
    connected = connect(command.address, {
      tls: command.tls && {
        ca,
        ...(certificate === undefined ? {} : { certificate }),
        ...(key === undefined ? {} : { key }),
        ...(serverName === undefined ? {} : { serverName }),
      },
      token: tokenOf(command),
      target: command.target,
      balance: command.balance,
    });
    return {};
  },
  get_task: async ({ name, max_age, view }, options) => {
    const maxAge = max_age === undefined ? {} : { maxAge: durationFromMs(max_age * 1000) };
    return values.task(
      await client().getTask({ name, view: TaskView[view ?? "UNSPECIFIED"], ...maxAge }, options),
    );
  },
  batch_get_tasks: async ({ names }) =>
    (await client().batchGetTasks({ names: names ?? [] })).map((each) =>
      each instanceof TaskgateError ? { error: values.error(each) } : values.task(each),
    ),
  list_tasks: async ({ parent, filter, page_size, limit }) => {
    const listing = client().listTasks({
      parent: parent ?? "",
      filter: filter ?? "",
      pageSize: page_size ?? 0,
    });
    const tasks = [];
    for await (const task of listing) {
      tasks.push(values.task(task));
      if (tasks.length === limit) {
        break;
      }
    }
    return { tasks, total_size: listing.totalSize ?? null };
  },
  summarize_tasks: async ({ parent }) => {
    const { counts, parentStatus } = await client().summarizeTasks({ parent: parent ?? "" });
    const states = counts?.states.map(({ state, count }) => [values.state(state), count]) ?? [];
    return {
      total: counts?.total,
      states: Object.fromEntries(states) as unknown,
      settled: counts?.settled,
      parent: values.parent(parentStatus),
    };
  },
  wait_task: async ({ name, states }, options) => {
    const words = (states ?? []).map((word) => TaskState[word as keyof typeof TaskState]);
    const { task, done, parentStatus } = await client().waitTask({ name, states: words }, options);
    return { task: task && values.task(task), done, parent: values.parent(parentStatus) };
  },
  cancel_task: async (command) => values.task(await client().cancelTask(update(command))),
  retry_task: async (command) => values.task(await client().retryTask(update(command))),
  suspend_task: async (command) => values.task(await client().suspendTask(update(command))),
  batch_update_tasks: async ({ updates }) => {
    const results = await client().batchUpdateTasks({
      updates: Object.entries(updates ?? {}).map(([name, action]) => ({
        name,
        action: TaskAction[action],
      })),
    });
    const outcomes = [...results].map(([name, error]) => [
      name,
      error ? { error: values.error(error) } : null,
    ]);
    return Object.fromEntries(outcomes) as unknown;
  },
  watch: ({ parent, names, until_settled, heartbeat_interval, timeout }) => {
    watch?.close();
    watch = client().watchTasks(
      {
        parent: parent ?? "",
        names: names ?? [],
        untilSettled: until_settled ?? false,
        ...(heartbeat_interval === undefined
          ? {}
          : { heartbeatInterval: durationFromMs(heartbeat_interval * 1000) }),
      },
      timeout === undefined ? {} : { timeoutMs: timeout * 1000 },
    );
    return {};
  },
  next: async ({ skip }) => {
    for (;;) {
      const next = await watch?.next();
      if (next?.value === undefined) {
        return { event: "none" };
      }
      if (!(skip ?? []).includes(next.value.event)) {
        return values.event(next.value);
      }
    }
  },
  close_watch: () => {
    watch?.close();
    return {};
  },
  read_log: async ({ name, follow, limit, tail, attempt, heartbeat_interval }, { timeoutMs }) => {
    const lines = [];
    const request = {
      name,
      follow: follow ?? false,
      limit: limit ?? 0,
      tail: tail ?? 0,
      ...(attempt === undefined ? {} : { attempt }),
      ...(heartbeat_interval === undefined
        ? {}
        : { heartbeatInterval: durationFromMs(heartbeat_interval * 1000) }),
    };
    for await (const line of client().streamTaskLogs(request, { timeoutMs })) {
      lines.push(line.message);
    }
    return lines;
  },
  get_server_info: async () => {
    const { version, awsServices } = await client().getServerInfo();
    return { version, services: awsServices.map(({ name }) => name) };
  },
  is_serving: ({ service }) => client().isServing(service),
  get_farm: async ({ farm_id }) => {
    const { displayName } = await client().deadline.getFarm({ farmId: farm_id });
    return { display_name: displayName };
  },
  get_natively: async ({ name }) => {
    const { runStatus } = await client().deadline.getTask(values.nativeIds(name));
    return { run_status: values.runStatus(runStatus) };
  },
  suspend_natively: async ({ name }) => {
    const targetRunStatus = TaskTargetRunStatus.SUSPENDED;
    await client().deadline.updateTask({ ...values.nativeIds(name), targetRunStatus });
    return {};
  },
  upload: async ({ chunks }) => {
    const { checksum } = await client().omics.uploadReadSetPart(values.upload(chunks ?? 0));
    return { checksum };
  },
  parse_name: ({ name }) => values.parsed(name),
  build_name: ({ kind, ids }) => formatName(values.named(kind, ids)),
};

function update({ name, request_id, reason }: Command) {
  return { name, requestId: request_id ?? "", reason: reason ?? "" };
}

function tokenOf(command: Command): Token | undefined {
  const { token, token_file: file, token_sequence: sequence } = command;
  if (file !== undefined) {
    return { file };
  }
  if (sequence !== undefined) {
    const tokens = [...sequence];
    return () => (tokens.length > 1 ? tokens.shift() : tokens[0]) ?? "";
  }
  return token;
}

async function run(command: Command): Promise<unknown> {
  const { cancel_after: after, timeout: limit } = command;
  const signal = after === undefined ? undefined : AbortSignal.timeout(after * 1000);
  try {
    const handler = COMMANDS[command.do];
    const timeoutMs = limit === undefined ? undefined : limit * 1000;
    return { ok: await handler?.(command, { signal, timeoutMs }) };
  } catch (error) {
    if (signal?.aborted === true && error === signal.reason) {
      return { cancelled: true };
    }
    if (error instanceof TaskgateError) {
      return { error: values.error(error) };
    }
    if (error instanceof RangeError) {
      return { invalid: error.message };
    }
    throw error;
  }
}

for await (const line of createInterface({ input: process.stdin })) {
  process.stdout.write(`${JSON.stringify(await run(JSON.parse(line) as Command))}\n`);
}
watch?.close();
connected?.close();
