/**
 * What this tab of the browser knows about its user: the token and the target.
 *
 * The token stays in sessionStorage: it ends with the tab, and other sites cannot read it. It is
 * only needed if no proxy adds the identity of the user.
 */

const TOKEN_KEY = "taskgate.token";

/** The session of this tab; dispatches `token` and `target` when these change. */
class Session extends EventTarget {
  #target = "";

  /** The bearer token; empty if there is none. */
  get token() {
    return sessionStorage.getItem(TOKEN_KEY) ?? "";
  }

  set token(token) {
    if (token) sessionStorage.setItem(TOKEN_KEY, token);
    else sessionStorage.removeItem(TOKEN_KEY);
    this.dispatchEvent(new Event("token"));
  }

  /** The target in the address of the page; empty for the server's default. */
  get target() {
    return this.#target;
  }

  set target(target) {
    if (target === this.#target) return;
    this.#target = target;
    this.dispatchEvent(new Event("target"));
  }

  /**
   * Return the metadata of a call.
   *
   * @param {string} [target] instead of that of the session
   * @returns {Record<string, string>}
   */
  headers(target = this.#target) {
    const { token } = this;
    return {
      ...(token ? { Authorization: `Bearer ${token}` } : {}),
      ...(target ? { "Taskgate-Target": target } : {}),
    };
  }
}

export const session = new Session();
