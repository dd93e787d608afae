/** The time axis of the timeline: which times show, and where. It has no DOM. */

const SECOND = 1_000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30].map((each) => each * SECOND),
  ...[1, 2, 5, 10, 15, 30].map((each) => each * MINUTE),
  ...[1, 2, 3, 6, 12].map((each) => each * HOUR),
  ...[1, 2, 7, 14, 30, 90, 365].map((each) => each * DAY),
];
const TICK_PIXELS = 110;
const MIN_SPAN = 5 * SECOND;

/** The visible part of the time from the first start to now. Zooming keeps it within this domain. */
export class TimeScale {
  /** Start and end of everything, in milliseconds since 1970. */
  domain = { from: 0, to: MIN_SPAN };
  /** What shows; null shows everything, also as time passes. @type {{from: number, to: number} | null} */
  #view = null;

  get from() {
    return this.#view?.from ?? this.domain.from;
  }

  get to() {
    return this.#view?.to ?? this.domain.to;
  }

  get isZoomed() {
    return this.#view !== null;
  }

  /**
   * @param {number} from
   * @param {number} to
   */
  setDomain(from, to) {
    this.domain = { from, to: Math.max(to, from + MIN_SPAN) };
  }

  /**
   * Return the place of a time, as a share of the width; outside of 0 to 1 it does not show.
   *
   * @param {number} time
   */
  place(time) {
    return (time - this.from) / (this.to - this.from);
  }

  /**
   * Zoom in or out.
   *
   * @param {number} factor below 1 shows a shorter time
   * @param {number} [centre] the place that stays, as a share of the width
   */
  zoom(factor, centre = 0.5) {
    const span = this.to - this.from;
    const next = Math.max(MIN_SPAN, span * factor);
    if (next >= this.domain.to - this.domain.from) {
      this.reset();
      return;
    }
    const fixed = this.from + span * centre;
    this.#show(fixed - next * centre, next);
  }

  /**
   * Move what shows.
   *
   * @param {number} share of the width
   */
  pan(share) {
    if (this.#view !== null) {
      const span = this.to - this.from;
      this.#show(this.from + span * share, span);
    }
  }

  reset() {
    this.#view = null;
  }

  /**
   * Return the times to label for a width in pixels.
   *
   * @param {number} width
   * @param {number} [offset] of the time zone from UTC in milliseconds, so that days start at midnight
   * @returns {{step: number, times: number[]}}
   */
  ticks(width, offset = 0) {
    const span = this.to - this.from;
    const wanted = (span * TICK_PIXELS) / Math.max(width, 1);
    const step = STEPS.find((each) => each >= wanted) ?? Math.ceil(wanted / DAY) * DAY;
    const times = [];
    let time = Math.ceil((this.from + offset) / step) * step - offset;
    for (; time <= this.to; time += step) {
      times.push(time);
    }
    return { step, times };
  }

  /**
   * @param {number} from
   * @param {number} span
   */
  #show(from, span) {
    const start = Math.max(this.domain.from, Math.min(from, this.domain.to - span));
    this.#view = { from: start, to: start + span };
  }
}
