/**
 * What a page shows, as commands: of the `taskgate` command line, and of an RPC with curl.
 */

import { copyButton } from "./clipboard.js";
import { h } from "./dom.js";
import { session } from "./session.js";

/** @typedef {{title: string, text: string}} Command */

/**
 * Return a `taskgate` command.
 *
 * @param {...string} words
 * @returns {string}
 */
export function taskgate(...words) {
  const target = session.target ? ["--target", session.target] : [];
  return ["taskgate", ...words.map(quote), ...target.map(quote)].join(" ");
}

/**
 * Return a call of an RPC with curl. The token is not in it.
 *
 * @param {string} method such as "taskgate.v1.TaskService/GetTask"
 * @param {object} request
 * @returns {string}
 */
export function curl(method, request) {
  return [
    "curl",
    ...(session.token ? ['-H "authorization: Bearer $TOKEN"'] : []),
    ...(session.target ? ["-H", quote(`taskgate-target: ${session.target}`)] : []),
    "-H 'content-type: application/json'",
    "-d",
    quote(JSON.stringify(request)),
    quote(new URL(method, document.baseURI).href),
  ].join(" ");
}

/**
 * Return a list of commands to copy.
 *
 * @param {Command[]} commands
 * @returns {HTMLElement}
 */
export function commandList(commands) {
  return h(
    "dl",
    { class: "commands" },
    commands.map(({ title, text }) => {
      const code = h("code", { class: "command one-line", title: text }, text);
      return h("div", null, h("dt", null, title, copyButton(code, `the command: ${title}`)), h("dd", null, code));
    }),
  );
}

/**
 * Return a word as a shell reads it.
 *
 * @param {string} word
 */
function quote(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
