/** Names in what users paste. */

import assert from "node:assert/strict";
import { test } from "node:test";

import { findName, parentOf, parseName, pathOf, shortId } from "../../../server/taskgate_server/console/js/names.js";
import { TextRanks, compareNames } from "../../../server/taskgate_server/console/js/natural_order.js";
import { hasWords } from "../../../server/taskgate_server/console/js/text_search.js";

const FARM = `farm-${"0a".repeat(16)}`;
const QUEUE = `queue-${"1b".repeat(16)}`;
const JOB = `job-${"2c".repeat(16)}`;
const STEP = `step-${"3d".repeat(16)}`;
const TASK = `task-${"4e".repeat(16)}-7`;
const TASK_NAME = `deadline/farms/${FARM}/queues/${QUEUE}/jobs/${JOB}/steps/${STEP}/tasks/${TASK}`;
const JOB_NAME = `deadline/farms/${FARM}/queues/${QUEUE}/jobs/${JOB}`;

const FOUND = [
  [TASK_NAME, "task", TASK_NAME],
  [` /${TASK_NAME}/ `, "task", TASK_NAME],
  [`${JOB}, ${QUEUE}, ${FARM}`, "job", JOB_NAME],
  [`--farm-id ${FARM} --queue-id ${QUEUE} --job-id ${JOB}`, "job", JOB_NAME],
  [JSON.stringify({ farmId: FARM, queueId: QUEUE, jobId: JOB }), "job", JOB_NAME],
  [`arn:aws:deadline:us-west-2:123456789012:farm/${FARM}/queue/${QUEUE}/job/${JOB}`, "job", JOB_NAME],
  [FARM.toUpperCase(), "farm", `deadline/farms/${FARM}`],
  [TASK_NAME.replace("deadline/", "https://m.us-west-2.deadlinecloud.amazonaws.com/"), "task", TASK_NAME],
  [`https://a/#/farms/${FARM}/queues/${QUEUE}?jobId=${JOB}`, "job", JOB_NAME],
  [`https%3A%2F%2Fa%2Ffarms%2F${FARM}`, "farm", `deadline/farms/${FARM}`],
  ["omics/runs/12/tasks/34", "task", "omics/runs/12/tasks/34"],
  ["run/12", "run", "omics/runs/12"],
  ["12", "run", "omics/runs/12"],
  ["12 34", "task", "omics/runs/12/tasks/34"],
  ["arn:aws:omics:eu-west-1:123456789012:run/12", "run", "omics/runs/12"],
  ["https://eu-west-1.console.aws.amazon.com/omics/home?region=eu-west-1#/runs/12/tasks/34", "task", "omics/runs/12/tasks/34"],
  ["batch/queues/q/tasks/t", "task", "batch/queues/q/tasks/t"],
];

for (const [text, kind, name] of FOUND) {
  test(`finds ${kind} in ${text.slice(0, 60)}`, () => {
    const { found } = findName(text);
    assert.deepEqual([found?.kind, found?.name], [kind, name]);
  });
}

const PROBLEMS = [
  ["", /^$/],
  ["hello", /No name found/],
  [JOB, /Add the ids of what it is in: farm-…, queue-…/],
  [`${FARM} ${JOB}`, /queue-…/],
  ["arn:aws:omics:eu-west-1:123456789012:task/34", /does not name its run/],
  ["omics/runs//tasks/1", /No name found/],
  ["javascript:alert(1)", /No name found/],
];

for (const [text, problem] of PROBLEMS) {
  test(`says what is wrong with "${text.slice(0, 40)}"`, () => {
    assert.match(findName(text).problem, problem);
  });
}

test("a path has every container", () => {
  assert.deepEqual(
    pathOf(TASK_NAME).map(({ kind, id }) => [kind, id]),
    [["farm", FARM], ["queue", QUEUE], ["job", JOB], ["step", STEP], ["task", TASK]],
  );
  assert.deepEqual(pathOf("omics/runs/1").map(({ label }) => label), ["Run"]);
});

test("ids are shortened, numbers are not", () => {
  assert.equal(shortId(TASK), "task-4e4e4e…-7");
  assert.equal(shortId("4721906"), "4721906");
  assert.equal(parentOf("omics/runs/1/tasks/2"), "omics/runs/1");
  assert.equal(parseName("deadline/farms"), null);
});

test("a search finds all of its words, in any order and case", () => {
  assert.ok(hasWords("NA12878 germline Running", ""));
  assert.ok(hasWords("NA12878 germline Running", " run  na128"));
  assert.ok(!hasWords("NA12878 germline Running", "na128 failed"));
  assert.ok(hasWords("ﬁnal Frames", "final"));
});

test("names with numbers compare by value, and ranks follow new names", () => {
  const names = ["frame 10", "frame 9", "Frame 1"];
  assert.deepEqual([...names].sort(compareNames), ["Frame 1", "frame 9", "frame 10"]);
  const ranks = new TextRanks();
  assert.deepEqual([...ranks.of(names)].sort(), [["Frame 1", 0], ["frame 10", 2], ["frame 9", 1]]);
  assert.equal(ranks.of(["frame 9"]).get("frame 10"), 2, "known names are not ranked again");
  assert.equal(ranks.of([...names, "frame 9.5"]).get("frame 10"), 3);
});
