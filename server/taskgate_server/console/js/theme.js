/**
 * Light or dark mode: that of the system, unless the user chooses one.
 */

const KEY = "taskgate.theme";

/** @typedef {"system" | "light" | "dark"} Theme */

const MEDIA = { system: "(prefers-color-scheme: dark)", light: "not all", dark: "all" };

/** @returns {Theme} the chosen theme */
export function theme() {
  const stored = localStorage.getItem(KEY);
  return stored === "light" || stored === "dark" ? stored : "system";
}

/**
 * Use a theme from now on.
 *
 * @param {Theme} chosen
 */
export function setTheme(chosen) {
  if (chosen === "system") localStorage.removeItem(KEY);
  else localStorage.setItem(KEY, chosen);
  applyTheme();
}

/** Apply the chosen theme: dark.css counts only while its media query holds. */
export function applyTheme() {
  const link = document.getElementById("dark");
  if (link instanceof HTMLLinkElement) link.media = MEDIA[theme()];
  // What is drawn on a canvas does not follow the style sheets by itself.
  dispatchEvent(new Event("themechange"));
}
