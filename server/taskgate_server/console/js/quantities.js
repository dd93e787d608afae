/** Numbers, times and durations as text, in the language of the browser. */

const NUMBER = new Intl.NumberFormat();
const RATE = new Intl.NumberFormat(undefined, { maximumSignificantDigits: 2 });
const TIME = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const DATE_TIME = new Intl.DateTimeFormat(undefined, {
  year: "numeric",
  month: "short",
  day: "numeric",
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});
const DATE = new Intl.DateTimeFormat(undefined, { month: "short", day: "numeric" });
const MINUTES = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit" });

const UNITS = /** @type {const} */ ([
  ["d", 86_400],
  ["h", 3_600],
  ["min", 60],
  ["s", 1],
]);

/** @param {number} value */
export function number(value) {
  return NUMBER.format(value);
}

/**
 * Return a number with as many digits as an estimate deserves.
 *
 * @param {number} value
 */
export function roughly(value) {
  return RATE.format(value);
}

/**
 * Return a noun with its number.
 *
 * @param {number} count
 * @param {string} noun in the singular
 * @param {string} [plural]
 */
export function counted(count, noun, plural = `${noun}s`) {
  return `${number(count)} ${count === 1 ? noun : plural}`;
}

/**
 * Return a duration with its two largest units, such as "2 h 5 min"; empty for NaN.
 *
 * @param {number} milliseconds
 * @param {number} [maxUnits]
 */
export function duration(milliseconds, maxUnits = 2) {
  if (!Number.isFinite(milliseconds)) {
    return "";
  }
  let seconds = Math.max(0, Math.round(milliseconds / 1000));
  const parts = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size);
    seconds %= size;
    if (count > 0) {
      parts.push(`${count} ${unit}`);
    }
    if (parts.length > 0 && (parts.length === maxUnits || unit === "s")) {
      break;
    }
    if (parts.length > 0 && count === 0) {
      break; // "1 d 3 s" suggests a precision that is not needed
    }
  }
  return parts.join(" ") || "0 s";
}

/**
 * Return a time of today without its date; empty for NaN.
 *
 * @param {number} time milliseconds since 1970
 * @param {number} now
 */
export function time(time, now) {
  if (!Number.isFinite(time)) {
    return "";
  }
  const isToday = new Date(time).toDateString() === new Date(now).toDateString();
  return isToday ? TIME.format(time) : DATE_TIME.format(time);
}

/**
 * Return the label of a time on an axis.
 *
 * @param {number} time
 * @param {number} step between two labels, in milliseconds
 */
export function tick(time, step) {
  if (step >= 86_400_000) {
    return DATE.format(time);
  }
  return step >= 60_000 ? MINUTES.format(time) : TIME.format(time);
}
