/**
 * Announcements to screen readers, for what a sighted user sees happen.
 */

/**
 * Announce a text, politely: after what is being read.
 *
 * @param {string} text
 */
export function announce(text) {
  const region = document.getElementById("announcer");
  if (!region) return;
  // Some screen readers do not read the same text twice.
  region.textContent = region.textContent === text ? `${text}\u00a0` : text;
}
