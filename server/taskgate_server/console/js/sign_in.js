/**
 * The dialog for a token, for users whose identity no proxy adds.
 */

import { announce } from "./announce.js";
import { showDialog } from "./dialogs.js";
import { h } from "./dom.js";
import { session } from "./session.js";

/** Show the dialog; the page is shown anew when the token has changed. */
export function askForToken() {
  const input = h("input", {
    type: "password",
    autocomplete: "off",
    spellcheck: "false",
    autofocus: true,
    required: !session.token,
    placeholder: session.token ? "A token is set" : "",
  });
  const dialog = showDialog(
    "Sign in with a token",
    (close) => [
      h(
        "p",
        { class: "small quiet" },
        "The token of the issuer that this server trusts. This tab keeps it until it is closed, and sends it only to this server.",
      ),
      h("label", { class: "field" }, "Token", input),
      h(
        "div",
        { class: "row end" },
        h("button", { type: "button", onclick: close }, "Cancel"),
        session.token
          ? h(
              "button",
              {
                type: "button",
                onclick: () => {
                  close();
                  session.token = "";
                  announce("The token is removed");
                },
              },
              "Remove the token",
            )
          : "",
        h("button", { type: "submit", class: "primary" }, "Sign in"),
      ),
    ],
    () => {
      const token = input.value.trim().replace(/^Bearer\s+/i, "");
      dialog.close();
      if (token) session.token = token;
    },
  );
}
