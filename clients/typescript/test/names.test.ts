import { describe, expect, it } from "vitest";

import { formatName, parseParentName, parseTaskName } from "../src/index.js";

describe("names", () => {
  it.each(["deadline/farms/f/queues/q/jobs/j/steps/s/tasks/t", "omics/runs/7/tasks/8"])(
    "of tasks are parsed and formatted: %s",
    (name) => {
      expect(formatName(parseTaskName(name))).toBe(name);
    },
  );

  it.each([
    "deadline/farms/f/queues/q",
    "deadline/farms/f/queues/q/jobs/j",
    "deadline/farms/f/queues/q/jobs/j/steps/s",
    "omics/runs/7",
  ])("of parents are parsed and formatted: %s", (name) => {
    expect(formatName(parseParentName(name))).toBe(name);
  });

  it.each([
    "",
    "omics",
    "omics/runs/7",
    "omics/runs//tasks/8",
    "omics/runs/7/tasks/8/",
    "omics/runs/7/tasks/8/more",
    "deadline/runs/7/tasks/8",
    "/omics/runs/7/tasks/8",
  ])("of tasks have one of two forms: %j", (name) => {
    expect(() => parseTaskName(name)).toThrow(
      /deadline\/farms\/\{farm\}.* or omics\/runs\/\{run\}/,
    );
  });

  it("are typed by their kind", () => {
    const name = parseTaskName("omics/runs/7/tasks/8");
    expect(name.kind === "omicsTask" && name.run).toBe("7");
  });

  it.each(["", "8/9"])("are not formatted with the id %j", (task) => {
    expect(() => formatName({ kind: "omicsTask", run: "7", task })).toThrow(RangeError);
  });
});
